package client

// FromItem is what a gathered check makes of its answer.
var FromItem = fromItem

// FromTheFirst has checks gather however few and slow they are: two at a time are
// alone.
func FromTheFirst(c *Client) *Client {
	c.features.pace, c.counted.pace = pace{}, pace{}
	return c
}
