package scaling

import "strconv"

// Slots is how many slots a Redis Cluster has.
const Slots = 1 << 14

// Slot returns the slot of an app: that of the digits in its keys' hash tag, as in
// imq:{1400000001}:app.
func Slot(app uint32) int {
	return int(crc16(strconv.AppendUint(nil, uint64(app), 10))) % Slots
}

// crc16 is CRC-16/XMODEM: polynomial 0x1021, from zero, the highest bit first.
func crc16(data []byte) uint16 {
	var crc uint16
	for _, b := range data {
		crc ^= uint16(b) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return crc
}
