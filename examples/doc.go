// Package examples has a small program for each kind of service that asks imquota:
//
//   - gateway checks every request, and goes on without features' checks when
//     imquota is away;
//   - group-service reserves, creates and commits, and gives back what it dissolves;
//   - billing shows what an upgrade costs, and carries it out.
//
// Each speaks to `imquota serve --demo`, and says in its head how to run it.
package examples
