package scaling

import (
	"fmt"
	"testing"

	"github.com/imquota/imquota/quota/redisstore/redistest"
)

func TestCRC16(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint16{"123456789": 0x31C3, "": 0, "A": 0x58E5} {
		if got := crc16([]byte(text)); got != want {
			t.Errorf("crc16(%q) = %#04x, want %#04x", text, got, want)
		}
	}
}

// Redis itself says where an app's keys are.
func TestSlotIsRedisOwn(t *testing.T) {
	t.Parallel()
	server, _ := redistest.ClusterOfOne(t)
	client := server.Client()
	apps := []uint32{1, 1<<32 - 1}
	for i := range 200 {
		apps = append(apps, firstApp+uint32(i*37))
	}
	for _, app := range apps {
		want, err := client.ClusterKeySlot(t.Context(), fmt.Sprintf("imq:{%d}:app", app)).Result()
		if err != nil {
			t.Fatal(err)
		}
		if got := Slot(app); int64(got) != want {
			t.Errorf("app %d is in slot %d, Redis says %d", app, got, want)
		}
	}
}
