// Package backup writes what a store keeps to a file, and restores it into a store
// of any driver: accounts, apps with their logs, and what they counted.
//
// A file is lines of JSON, compressed or not. Its first line says what it is, its
// last one how much there is and the SHA-256 of all lines before. Nothing is
// restored of a file that has not been read to that line before. Both sides read
// and write a part at a time: what they hold does not grow with the number of users.
package backup
