package account

import (
	"encoding/json"
	"fmt"
)

// Formats rise when records come to hold something that an imquota which does
// not know it would judge wrongly without, or drop when it writes.
//
//	1  the first
//	2  overrides that end, returned orders, disabled, deleted and reclaimed apps
//	3  orders that were upgraded, with what was paid for them; the catalog that an
//	   app goes by
const (
	recordFormat  = 3
	accountFormat = 1
)

// formatOf reads the format of a record that cannot be read, and no more: a newer
// one may have values that cannot be read here.
func formatOf(record []byte) int {
	var head struct {
		Format int `json:"format"`
	}
	_ = json.Unmarshal(record, &head) // zero: it is damaged
	return head.Format
}

// newer says that a later imquota wrote a record.
func newer(what string, format, known int) *Fault {
	return &Fault{
		Reason: RecordNewer,
		Detail: fmt.Sprintf("the record of %s has format %d; this version of imquota knows formats up to %d", what, format, known),
	}
}

// storedApp is a record as stores keep it.
type storedApp struct {
	Format int `json:"format"`
	*App
}

// EncodeApp returns an app's record as stores keep it: JSON.
func EncodeApp(a *App) ([]byte, error) {
	record, err := json.Marshal(storedApp{recordFormat, a})
	if err != nil {
		return nil, fmt.Errorf("encode app %d: %w", a.ID, err)
	}
	return record, nil
}

// DecodeApp reads a record and gives it its version. The error is a *Fault.
func DecodeApp(id uint32, record []byte, v Version) (*App, error) {
	stored := storedApp{App: new(App)}
	err := json.Unmarshal(record, &stored)
	if err != nil {
		stored.Format = formatOf(record)
	}
	switch {
	case stored.Format > recordFormat:
		return nil, newer(fmt.Sprintf("app %d", id), stored.Format, recordFormat)
	case err != nil, stored.Format < 1, stored.ID != id:
		return nil, DamagedRecord(id)
	}
	stored.Version = v
	return stored.App, nil
}

// DamagedRecord says that an app's record cannot be read.
func DamagedRecord(id uint32) *Fault {
	return &Fault{Reason: UsageUnknown, Detail: fmt.Sprintf("the record of app %d is damaged", id)}
}

// storedAccount is a record as stores keep it.
type storedAccount struct {
	Format int `json:"format"`
	*Account
}

// EncodeAccount returns an account's record as stores keep it: JSON.
func EncodeAccount(a *Account) ([]byte, error) {
	record, err := json.Marshal(storedAccount{accountFormat, a})
	if err != nil {
		return nil, fmt.Errorf("encode account %s: %w", a.ID, err)
	}
	return record, nil
}

// DecodeAccount reads a record and gives it its version. The error is a *Fault.
func DecodeAccount(id string, record []byte, v Version) (*Account, error) {
	stored := storedAccount{Account: new(Account)}
	err := json.Unmarshal(record, &stored)
	if err != nil {
		stored.Format = formatOf(record)
	}
	switch {
	case stored.Format > accountFormat:
		return nil, newer("account "+id, stored.Format, accountFormat)
	case err != nil, stored.Format < 1, stored.ID != id:
		return nil, DamagedAccount(id)
	}
	stored.Version = v
	return stored.Account, nil
}

// DamagedAccount says that an account's record cannot be read.
func DamagedAccount(id string) *Fault {
	return &Fault{Reason: UsageUnknown, Detail: fmt.Sprintf("the record of account %s is damaged", id)}
}
