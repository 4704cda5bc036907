package account

import (
	"encoding/json"
	"fmt"
)

// recordFormat rises when records come to hold something that an imquota which
// does not know it would judge wrongly without, or drop when it writes.
const recordFormat = 1

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
	switch {
	case err == nil && stored.Format > recordFormat:
		return nil, &Fault{
			Reason: RecordNewer,
			Detail: fmt.Sprintf("the record of app %d has format %d; this version of imquota knows format %d", id, stored.Format, recordFormat),
		}
	case err != nil || stored.Format < 1 || stored.ID != id:
		return nil, DamagedRecord(id)
	}
	stored.Version = v
	return stored.App, nil
}

// DamagedRecord says that an app's record cannot be read.
func DamagedRecord(id uint32) *Fault {
	return &Fault{Reason: UsageUnknown, Detail: fmt.Sprintf("the record of app %d is damaged", id)}
}
