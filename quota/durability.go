package quota

// Durability says what an acknowledged count survives.
type Durability uint8

// The durabilities.
const (
	DurabilityUnknown    Durability = iota // nothing was written
	DurabilityPrimary                      // it is lost if the primary dies before a replica has it
	DurabilityReplicated                   // as many replicas have it as the store is to wait for
	DurabilitySynced                       // it is on the disk
)
