package catalog

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// document is the shape of a catalog file, before its rules are checked.
type document struct {
	Version        string            `yaml:"version"`
	Currency       string            `yaml:"currency"`
	TimeZone       string            `yaml:"time_zone"`
	DefaultEdition string            `yaml:"default_edition"`
	Account        accountDoc        `yaml:"account"`
	Policies       policiesDoc       `yaml:"policies"`
	UpstreamCodes  codesDoc          `yaml:"upstream_codes"`
	Quotas         []quotaDoc        `yaml:"quotas"`
	GroupTypes     []groupTypeDoc    `yaml:"group_types"`
	Regions        []string          `yaml:"regions"`
	Platforms      map[string]string `yaml:"platforms"`
	Features       []featureDoc      `yaml:"features"`
	AddOns         []addOnDoc        `yaml:"add_ons"`
	Editions       []editionDoc      `yaml:"editions"`
	Meters         []meterDoc        `yaml:"meters"`
}

type accountDoc struct {
	MaxApps        int         `yaml:"max_apps"`
	Grace          string      `yaml:"grace"`
	LegacyBefore   string      `yaml:"legacy_before"`
	MaxOrderMonths *int        `yaml:"max_order_months"`
	AutoRenewal    *int        `yaml:"auto_renewal_months"`
	QuoteLifetime  *string     `yaml:"quote_lifetime"`
	OverdueAfter   *string     `yaml:"overdue_after"`
	KeptDays       *int        `yaml:"kept_days"`
	Notices        *noticesDoc `yaml:"notices"`
}

type noticesDoc struct {
	ExpiryDaysBefore  *int   `yaml:"expiry_days_before"`
	ExpiryDaysAfter   *int   `yaml:"expiry_days_after"`
	RenewalDaysBefore *int   `yaml:"renewal_days_before"`
	BillDays          *int   `yaml:"bill_days"`
	ReclaimDaysBefore *[]int `yaml:"reclaim_days_before"`
}

type policiesDoc struct {
	DissolveCounts   DissolveCounts   `yaml:"dissolve_counts"`
	UsedValue        UsedValue        `yaml:"used_value"`
	UsedTime         UsedTime         `yaml:"used_time"`
	FreeQuotaOfMonth FreeQuotaOfMonth `yaml:"free_quota_of_month"`

	PurchaseOfSuspended    *Reading `yaml:"purchase_of_suspended"`
	UpgradeState           *Reading `yaml:"upgrade_state"`
	UpgradePrice           *Reading `yaml:"upgrade_price"`
	RenewalState           *Reading `yaml:"renewal_state"`
	RenewalAfterSuspension *Reading `yaml:"renewal_after_suspension"`
	RefundableAmount       *Reading `yaml:"refundable_amount"`
}

type codesDoc struct {
	AppNotFound      int32 `yaml:"app_not_found"`
	SuspendedExpired int32 `yaml:"suspended_expired"`
	Suspended        int32 `yaml:"suspended"`
	LiveInvite       int32 `yaml:"live_invite"`
	DeleteUsers      int32 `yaml:"delete_users"`
}

type quotaDoc struct {
	Key           string           `yaml:"key"`
	Title         string           `yaml:"title"`
	Scope         Scope            `yaml:"scope"`
	Kind          Kind             `yaml:"kind"`
	Distinct      bool             `yaml:"distinct"`
	Signed        bool             `yaml:"signed"`
	Direct        bool             `yaml:"direct"`
	UpstreamCode  int32            `yaml:"upstream_code"`
	UpstreamCodes map[string]int32 `yaml:"upstream_codes"`
}

type groupTypeDoc struct {
	Key      string   `yaml:"key"`
	Title    string   `yaml:"title"`
	Code     string   `yaml:"code"`
	Aliases  []string `yaml:"aliases"`
	Counts   []string `yaml:"counts"`
	Members  *bool    `yaml:"members"`
	Requires string   `yaml:"requires"`
}

type featureDoc struct {
	Key          string        `yaml:"key"`
	Title        string        `yaml:"title"`
	UpstreamCode int32         `yaml:"upstream_code"`
	AddOn        string        `yaml:"add_on"`
	Conditions   *conditionDoc `yaml:"conditions"`
}

type conditionDoc struct {
	Approval *struct {
		ActiveAfter  string `yaml:"active_after"`
		UpstreamCode int32  `yaml:"upstream_code"`
	} `yaml:"approval"`
	Regions *struct {
		Excluded     []string `yaml:"excluded"`
		UpstreamCode int32    `yaml:"upstream_code"`
	} `yaml:"regions"`
	Platforms *struct {
		Allowed      []string `yaml:"allowed"`
		UpstreamCode int32    `yaml:"upstream_code"`
	} `yaml:"platforms"`
	SDK *struct {
		Min          map[string]string `yaml:"min"`
		UpstreamCode int32             `yaml:"upstream_code"`
	} `yaml:"sdk"`
	GroupTypes *struct {
		Allowed      []string `yaml:"allowed"`
		UpstreamCode int32    `yaml:"upstream_code"`
	} `yaml:"group_types"`
	GroupSize *struct {
		MaxMembers   int64 `yaml:"max_members"`
		UpstreamCode int32 `yaml:"upstream_code"`
	} `yaml:"group_size"`
}

type addOnDoc struct {
	Key       string   `yaml:"key"`
	Title     string   `yaml:"title"`
	Trial     string   `yaml:"trial"`
	Editions  []string `yaml:"editions"`
	Activates []string `yaml:"activates"`
}

type editionDoc struct {
	Key          string              `yaml:"key"`
	Title        string              `yaml:"title"`
	MonthlyPrice string              `yaml:"monthly_price"`
	Purchase     []string            `yaml:"purchase"`
	Upgrade      []string            `yaml:"upgrade"`
	DeleteUsers  bool                `yaml:"delete_users"`
	Limits       map[string]limitDoc `yaml:"limits"`
	Features     []string            `yaml:"features"`
}

type meterDoc struct {
	Key        string            `yaml:"key"`
	Title      string            `yaml:"title"`
	Unit       string            `yaml:"unit"`
	Quota      string            `yaml:"quota"`
	Prices     map[string]string `yaml:"prices"`
	Promotions []promotionDoc    `yaml:"promotions"`
}

type promotionDoc struct {
	Title   string `yaml:"title"`
	Percent string `yaml:"percent"`
	From    string `yaml:"from"`
	Until   string `yaml:"until"`
}

// limitDoc is a limit as a number, `unlimited`, or a mapping. What is wrong
// with it is kept, to be reported with its path like all other problems.
type limitDoc struct {
	limit       Limit
	onExceed    *string
	byGroupType map[string]Limit
	problems    []Problem // their paths begin at the limit
}

// UnmarshalYAML reads one of the three forms.
func (d *limitDoc) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		d.limit = d.number("", n)
		return nil
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, resolve(n.Content[i+1])
		switch key {
		case "limit":
			d.limit = d.number(".limit", value)
		case "on_exceed":
			d.onExceed = &value.Value
		case "by_group_type":
			d.readGroupTypes(value)
		default:
			d.add("."+key, "unknown field; limit, on_exceed and by_group_type are known")
		}
		if seen[key] {
			d.add("."+key, "is there twice")
		}
		seen[key] = true
	}
	if !seen["limit"] {
		d.add(".limit", "is missing")
	}
	return nil
}

func (d *limitDoc) readGroupTypes(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.add(".by_group_type", "is not a mapping of group types to limits")
		return
	}
	d.byGroupType = make(map[string]Limit)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		path := ".by_group_type." + key
		if _, twice := d.byGroupType[key]; twice {
			d.add(path, "is there twice")
		}
		d.byGroupType[key] = d.number(path, resolve(n.Content[i+1]))
	}
}

// number reads a number or `unlimited`.
func (d *limitDoc) number(path string, n *yaml.Node) Limit {
	if n.Kind == yaml.ScalarNode && n.Value == "unlimited" {
		return Unlimited()
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		if v, err := strconv.ParseInt(n.Value, 10, 64); err == nil && v >= 0 && v <= MaxLimit {
			return Max(v)
		}
	}
	d.add(path, fmt.Sprintf("%q is neither a whole number from 0 to %d nor the word unlimited", n.Value, int64(MaxLimit)))
	return Limit{}
}

func (d *limitDoc) add(path, message string) {
	d.problems = append(d.problems, Problem{Path: path, Message: message})
}
