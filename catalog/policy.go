package catalog

// Policies are the readings that a catalog may choose (marked [R] in FACTS).
type Policies struct {
	// DissolveCounts: which dissolved groups lower the day's net (FACTS §2).
	DissolveCounts DissolveCounts
	// UsedValue: how the used value of a refund is measured (FACTS §7).
	UsedValue UsedValue
	// UsedTime: in what unit it is measured (FACTS §7).
	UsedTime UsedTime
	// FreeQuotaOfMonth: which edition's free quota holds in a month of several.
	FreeQuotaOfMonth FreeQuotaOfMonth
}

// DissolveCounts says which dissolved groups lower the day's net.
type DissolveCounts string

// The readings of "created − dissolved".
const (
	DissolveAnyAge  DissolveCounts = "any_age"
	DissolveSameDay DissolveCounts = "same_day" // only groups created that day
)

// UsedValue says how the used value of a refund is measured.
type UsedValue string

// The readings of "used value".
const (
	UsedServiceMonths UsedValue = "service_months"
	UsedCurrentMonth  UsedValue = "current_month" // the source to the letter
)

// UsedTime is the unit that a used value is measured in.
type UsedTime string

// The units.
const (
	UsedSeconds   UsedTime = "seconds"
	UsedWholeDays UsedTime = "whole_days"
)

// FreeQuotaOfMonth says which edition's free quota holds in a month of several.
type FreeQuotaOfMonth string

// FreeQuotaHighest gives the highest edition's free quota, in full.
const FreeQuotaHighest FreeQuotaOfMonth = "highest_edition"
