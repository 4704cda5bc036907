// Package bench puts load on imquota and measures it beside its floors: a gRPC
// server that only echoes, and Redis that runs only one short script, both at the
// same load, in turns with imquota, on the same machine. Absolute figures say
// which machine it was; the ratios say what imquota costs.
//
// A [Mix] draws what is asked. A [Caller] asks it: one check a call, a batch, or
// what a floor makes of it. A [Side] is what is measured, with the meters that
// tell what its processes use, and [Measure] takes the sides in turns. A [Report]
// is what came of it: a table, JSON, or a page.
//
// Load is a closed loop, where each caller asks anew when it is answered, or an
// open one, where calls are due at a constant rate, whether or not those before
// them are answered. The latency of a call in an open loop begins when it is due,
// so that a server that stalls does not hide the calls that it kept from being
// sent.
package bench
