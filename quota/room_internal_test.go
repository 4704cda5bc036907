package quota

// KeepAtMost bounds, for tests, how many records of each kind are kept.
func (e *Enforcer) KeepAtMost(n int) { e.room = n }
