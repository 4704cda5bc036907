// Package proof holds imquota to its first promise: it is exact, whatever
// breaks. It has tests only. They run several sidecars on real Redis servers,
// break what is between and below them by a seed, and hold the answers that
// clients got against a sequential model, and the counters against the answers.
//
// IMQUOTA_SOAK is how long they go on, such as 10m; without it they are short.
// IMQUOTA_SEED repeats what is drawn: what is asked for, and which faults come
// for how long. How they meet is the machine's.
package proof
