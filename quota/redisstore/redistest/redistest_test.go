package redistest_test

import (
	"testing"
	"time"

	"github.com/imquota/imquota/quota/redisstore/redistest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	at := time.Now()
	redistest.Cluster(t, 3, 1)
	t.Log(time.Since(at))
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	at := time.Now()
	redistest.Sentinel(t)
	t.Log(time.Since(at))
}
