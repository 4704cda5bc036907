package server

import (
	"context"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
)

// Bounds of an import and of an export.
const (
	maxImportRows      = 1000
	defaultExportRows  = 1000
	maxExportRows      = 5000
	maxExportPageToken = 1024
)

func (s *appService) ImportUsage(ctx context.Context, in *imquotav1.ImportUsageRequest) (*imquotav1.ImportUsageResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	switch n := len(in.GetRows()); {
	case n == 0:
		v.add("rows", "must not be empty")
	case n > maxImportRows:
		v.add("rows", "has %d rows; at most %d are allowed in one call", n, maxImportRows)
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.ImportUsageResponse{Results: make([]*imquotav1.UsageRowResult, len(in.GetRows()))}
	ask := quota.UsageImport{App: in.GetAppId(), RequestID: in.GetRequestId(), Caller: operator, DryRun: in.GetDryRun()}
	var at []int // of the rows that are asked for
	for i, r := range in.GetRows() {
		row, err := usageRow(r, s.enforcer.Catalog())
		if err != nil {
			out.Results[i] = &imquotav1.UsageRowResult{Error: toItemError(err)}
			continue
		}
		ask.Rows, at = append(ask.Rows, row), append(at, i)
	}
	changes, err := s.enforcer.ImportUsage(ctx, ask)
	if err != nil {
		return nil, toStatus(err)
	}
	for k, c := range changes {
		result := &imquotav1.UsageRowResult{Before: c.Before, After: c.After, Replayed: c.Replayed}
		if c.Err != nil {
			result = &imquotav1.UsageRowResult{Error: toItemError(c.Err)}
		}
		out.Results[at[k]] = result
	}
	return out, nil
}

// usageRow validates a row by itself.
func usageRow(in *imquotav1.UsageRow, cat *catalog.Snapshot) (quota.UsageRow, error) {
	v := &invalidFields{}
	v.key("quota", in.GetQuota())
	v.optional("subject", in.GetSubject(), quota.MaxGroupID)
	v.optional("group_type", in.GetGroupType(), maxKey)
	v.optional("window", in.GetWindow(), maxKey)
	v.exact("used", in.GetUsed())
	if in.Observed != nil {
		v.exact("observed", in.GetObserved())
	}
	return quota.UsageRow{
		Quota: in.GetQuota(), Subject: in.GetSubject(), Used: in.GetUsed(), Observed: in.Observed,
		GroupType: keyOf(cat, in.GetGroupType()), Window: in.GetWindow(),
	}, v.err()
}

// exact checks that a value is one that is counted exactly.
func (v *invalidFields) exact(field string, n int64) {
	if n > catalog.MaxLimit || n < -catalog.MaxLimit {
		v.add(field, "is %d; it must be from %d to %d", n, -int64(catalog.MaxLimit), int64(catalog.MaxLimit))
	}
}

func (s *appService) ExportUsage(ctx context.Context, in *imquotav1.ExportUsageRequest) (*imquotav1.ExportUsageResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("page_token", in.GetPageToken(), maxExportPageToken)
	size := v.pageSize(in.GetPageSize(), defaultExportRows, maxExportRows)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	part, err := s.enforcer.ExportUsage(ctx, quota.UsageExport{App: in.GetAppId(), Token: in.GetPageToken(), Limit: size})
	if err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.ExportUsageResponse{NextPageToken: part.Next, Done: part.Done, Total: part.Total}
	for i := range part.Rows {
		r := &part.Rows[i]
		out.Rows = append(out.Rows, &imquotav1.UsageRow{
			Quota: r.Quota, Subject: r.Subject, Used: r.Used, GroupType: r.GroupType, Window: r.Window,
		})
	}
	return out, nil
}
