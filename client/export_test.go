package client

// FromItem is what a gathered check makes of its answer.
var FromItem = fromItem
