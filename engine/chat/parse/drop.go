package parse

// dropper takes markers out of a text that surround it and mean nothing to a client. What
// stands inside a call stays.
type dropper struct {
	machine
	list *markers
	rest stage
}

// without puts a dropper in front of rest, if a parser has such markers.
func without(rest stage, f *family, c *format) stage {
	var list []string
	if f != nil {
		list = append(list, f.drops...)
	}
	if c != nil {
		list = append(list, c.drops...)
	}
	if len(list) == 0 {
		return rest
	}
	d := &dropper{list: newMarkers(list...), rest: rest}
	d.step = d.drop
	return d
}

func (d *dropper) busy() bool { return d.rest.busy() }

func (d *dropper) drop(eof bool) bool {
	text, marker, rest := d.list.find(d.in, eof)
	d.in = rest
	d.rest.feed(text)
	switch {
	case marker != "" && d.rest.busy():
		d.rest.feed(marker)
	case marker == "" && eof:
		d.rest.end()
		return false
	}
	return marker != ""
}
