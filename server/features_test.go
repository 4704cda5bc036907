package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// planFeatures are the features of the plan comparison, and whether the
// standard edition has them; developer and premium have all.
var planFeatures = map[string]bool{
	"global_coverage": true, "push_all": false, "multi_device_login": false, "local_search": false,
	"live_group_history": false, "community": false, "group_read_receipt": false,
	"targeted_group_message": false, "live_group_online_members": false, "live_group_broadcast": false,
	"user_status": false, "conversation_mark": false, "conversation_group": false, "live_group_ban": false,
}

func useFeature(app uint32, feature string) *imquotav1.CheckQuotaRequest {
	return check(app, &imquotav1.UseFeature{Feature: feature})
}

func TestFeaturesOfEditions(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		for i, edition := range editions {
			app := uint32(i + 1)
			_, err := s.apps.CreateApp(context.Background(), &imquotav1.CreateAppRequest{
				AppId: app, AccountId: "test", Import: &imquotav1.AppImport{
					Edition:   edition,
					Approvals: []*imquotav1.Approval{{Feature: "push_all", ApproveTime: timestamppb.New(s.clock.Now().Add(-48 * time.Hour))}},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			for feature, inStandard := range planFeatures {
				d := s.check(useFeature(app, feature))
				if want := edition != "standard" || inStandard; d.GetAllowed() != want {
					t.Errorf("%s in %s: %v", feature, edition, d)
				}
				if d.GetSource() != imquotav1.Source_SOURCE_CACHE {
					t.Errorf("%s in %s was decided by %v", feature, edition, d.GetSource())
				}
				if d.GetAllowed() {
					continue
				}
				code := int32(10059)
				if feature == "local_search" {
					code = 7013
				}
				if v := d.GetViolations()[0]; v.GetReason() != imquotav1.Reason_REASON_FEATURE_NOT_IN_EDITION || v.GetUpstreamCode() != code || v.GetFeature() != feature {
					t.Errorf("%s in %s: %v", feature, edition, v)
				}
				if d.GetUpgrade().GetEdition() != "premium" {
					t.Errorf("%s in %s: upgrade %v", feature, edition, d.GetUpgrade())
				}
			}
		}
	})
}

// TestConditions holds both sides of every condition's edge.
func TestConditions(t *testing.T) {
	t.Parallel()
	type device struct{ platform, sdk string }
	tests := []struct {
		name    string
		region  string
		device  device
		feature *imquotav1.UseFeature
		reason  imquotav1.Reason // unspecified: allowed
		code    int32
	}{
		{"local search on android", "sg", device{"android", ""}, &imquotav1.UseFeature{Feature: "local_search"}, 0, 0},
		{"local search on ios", "sg", device{"ios", ""}, &imquotav1.UseFeature{Feature: "local_search"}, 0, 0},
		{"local search on web", "sg", device{"web", ""}, &imquotav1.UseFeature{Feature: "local_search"}, imquotav1.Reason_REASON_PLATFORM_UNSUPPORTED, 0},
		{"local search anywhere", "sg", device{}, &imquotav1.UseFeature{Feature: "local_search"}, 0, 0},
		{"community at the native minimum", "sg", device{"windows", "5.8.1668"}, &imquotav1.UseFeature{Feature: "community"}, 0, 0},
		{"community below it", "sg", device{"windows", "5.8.1667"}, &imquotav1.UseFeature{Feature: "community"}, imquotav1.Reason_REASON_SDK_TOO_OLD, 11000},
		{"5.10 is above 5.8", "sg", device{"ios", "5.10"}, &imquotav1.UseFeature{Feature: "community"}, 0, 0},
		{"the flavour is ignored", "sg", device{"ios", "5.8.1668_enhanced"}, &imquotav1.UseFeature{Feature: "community"}, 0, 0},
		{"community at the web minimum", "sg", device{"web", "2.17.0"}, &imquotav1.UseFeature{Feature: "community"}, 0, 0},
		{"community below it on web", "sg", device{"web", "2.16.9"}, &imquotav1.UseFeature{Feature: "community"}, imquotav1.Reason_REASON_SDK_TOO_OLD, 11000},
		{"community in Germany", "de", device{}, &imquotav1.UseFeature{Feature: "community"}, imquotav1.Reason_REASON_REGION_EXCLUDED, 11000},
		{"community in Korea", "kr", device{}, &imquotav1.UseFeature{Feature: "community"}, imquotav1.Reason_REASON_REGION_EXCLUDED, 11000},
		{"community in India", "in", device{}, &imquotav1.UseFeature{Feature: "community"}, 0, 0},
		{"receipt at the native minimum", "sg", device{"mac", "6.1.2155"}, &imquotav1.UseFeature{Feature: "group_read_receipt"}, 0, 0},
		{"receipt below it", "sg", device{"mac", "6.1.2154"}, &imquotav1.UseFeature{Feature: "group_read_receipt"}, imquotav1.Reason_REASON_SDK_TOO_OLD, 0},
		{"receipt on an old web", "sg", device{"web", "1.0"}, &imquotav1.UseFeature{Feature: "group_read_receipt"}, 0, 0},
		{"receipt in work", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "Private"}, 0, 0},
		{"receipt in public", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "public"}, 0, 0},
		{"receipt in meeting", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "ChatRoom"}, 0, 0},
		{"receipt in live", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "live"}, imquotav1.Reason_REASON_GROUP_TYPE_UNSUPPORTED, 0},
		{"receipt in community", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupType: "community"}, imquotav1.Reason_REASON_GROUP_TYPE_UNSUPPORTED, 0},
		{"receipt in a group of 200", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupId: "g200"}, 0, 0},
		{"receipt in a group of 201", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupId: "g201"}, imquotav1.Reason_REASON_GROUP_TOO_LARGE, 10060},
		{"receipt in an unknown group", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupId: "none"}, 0, 0},
		{"receipt in a live group by id", "sg", device{}, &imquotav1.UseFeature{Feature: "group_read_receipt", GroupId: "live"}, imquotav1.Reason_REASON_GROUP_TYPE_UNSUPPORTED, 0},
		{"push without approval", "sg", device{}, &imquotav1.UseFeature{Feature: "push_all"}, imquotav1.Reason_REASON_APPROVAL_MISSING, 90045},
		{"calls before the trial", "sg", device{}, &imquotav1.UseFeature{Feature: "av_call.group_call"}, imquotav1.Reason_REASON_TRIAL_NOT_STARTED, 0},
	}
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		apps := map[string]uint32{}
		for i, region := range catalog.Default().Regions() {
			apps[region] = uint32(i + 1)
			_, err := s.apps.CreateApp(context.Background(), &imquotav1.CreateAppRequest{
				AppId: apps[region], AccountId: "test", Region: region, Import: &imquotav1.AppImport{Edition: "premium"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		s.set(apps["sg"], "group_members", "g200", 200, "work")
		s.set(apps["sg"], "group_members", "g201", 201, "work")
		s.allow(createGroup(apps["sg"], "live", "live"))
		for _, tt := range tests {
			r := check(apps[tt.region], tt.feature)
			r.Client = &imquotav1.Client{Platform: tt.device.platform, SdkVersion: tt.device.sdk}
			d := s.check(r)
			if tt.reason == 0 {
				if !d.GetAllowed() {
					t.Errorf("%s: %v", tt.name, d)
				}
				continue
			}
			if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != tt.reason || v[0].GetUpstreamCode() != tt.code {
				t.Errorf("%s: %v, want %v with code %d", tt.name, d, tt.reason, tt.code)
			}
		}
	})
}

// TestApproval: push_all is active 48 hours after its approval, to the second.
func TestApproval(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		s := start(t, st.first, c, catalog.Default())
		s.app(1, "developer")
		approve := &imquotav1.ApproveFeatureRequest{AppId: 1, Feature: "push_all"}
		soon := &imquotav1.ApproveFeatureRequest{AppId: approve.GetAppId(), Feature: "push_all", ApproveTime: timestamppb.New(c.Now().Add(time.Second))}
		_, err := s.apps.ApproveFeature(t.Context(), soon)
		wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "approve_time")
		out, err := s.apps.ApproveFeature(t.Context(), approve)
		if err != nil {
			t.Fatal(err)
		}
		active := c.Now().Add(48 * time.Hour)
		if got := out.GetApp().GetApprovals()[0].GetActiveTime().AsTime(); !got.Equal(active) {
			t.Errorf("active at %v, want %v", got, active)
		}
		c.Set(active.Add(-time.Second))
		if _, err := s.apps.ApproveFeature(t.Context(), approve); err != nil { // a second one changes nothing
			t.Fatal(err)
		}
		d := s.check(useFeature(1, "push_all"))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_APPROVAL_PENDING || v[0].GetUpstreamCode() != 90045 {
			t.Errorf("a second before: %v", d)
		}
		c.Set(active)
		s.allow(useFeature(1, "push_all"))
	})
}

// TestTrial: an add-on's features last 60 days from its activation, to the
// second, in every edition.
func TestTrial(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		s := start(t, st.first, c, catalog.Default())
		for i, edition := range editions {
			s.app(uint32(i+1), edition)
			out, err := s.apps.ActivateAddOn(t.Context(), &imquotav1.ActivateAddOnRequest{AppId: uint32(i + 1), AddOn: "av_call"})
			if err != nil {
				t.Fatal(err)
			}
			a := out.GetApp().GetAddOns()[0]
			if got := a.GetActivates(); len(got) != 2 || got[0] != "rtc_service" || got[1] != "rtc_app" {
				t.Errorf("activates %v", got)
			}
			if want := c.Now().Add(60 * 24 * time.Hour); !a.GetEndTime().AsTime().Equal(want) {
				t.Errorf("ends %v, want %v", a.GetEndTime().AsTime(), want)
			}
		}
		end := c.Now().Add(60 * 24 * time.Hour)
		c.Set(end.Add(-time.Second))
		for i := range editions {
			for _, f := range catalog.Default().Features() {
				if f.AddOn != nil {
					s.allow(useFeature(uint32(i+1), f.Key))
				}
			}
			r := useFeature(uint32(i+1), "av_call")
			r.Client = &imquotav1.Client{Platform: "windows"}
			if d := s.check(r); d.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_PLATFORM_UNSUPPORTED {
				t.Errorf("calls on windows: %v", d)
			}
		}
		c.Set(end)
		for i := range editions {
			d := s.check(useFeature(uint32(i+1), "av_call.ringtone"))
			if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_TRIAL_ENDED {
				t.Errorf("after 60 days: %v", d)
			}
		}
		_, err := s.apps.ActivateAddOn(t.Context(), &imquotav1.ActivateAddOnRequest{AppId: 1, AddOn: "av_call"})
		wantFault(t, err, 9, "ADD_ON_ACTIVE")
	})
}
