//go:build !race

package redisstore

const withMutants = true
