package kernel

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"
)

// The logo is a wading godwit: a body, a neck, a head with a long bill and two legs,
// in a field of 64 by 64. The same shapes become SVG and, by sampling, PNG.
type ellipse struct{ x, y, rx, ry float64 }

// stroke is a straight line with round ends.
type stroke struct{ x1, y1, x2, y2, width float64 }

const logoField = 64

var (
	logoBody = []ellipse{{26, 32, 15, 9.5}, {43, 17, 5.5, 5}}
	logoInk  = []stroke{
		{36, 28, 42, 19, 6},    // neck
		{12, 36, 5, 41, 4},     // tail
		{24, 40, 22, 58, 1.8},  // legs
		{30, 40, 31, 58, 1.8},  //
		{22, 58, 26, 58, 1.8},  // feet
		{31, 58, 35, 58, 1.8},  //
		{47, 17, 61, 22, 1.9},  // bill
		{17, 32, 30, 34, 1.25}, // wing
	}
	logoEye   = ellipse{44.5, 16, 1.2, 1.2}
	logoColor = color.NRGBA{0xb4, 0x5a, 0x2b, 0xff} // a godwit in breeding plumage
	inkColor  = color.NRGBA{0x4a, 0x2c, 0x1d, 0xff}
	eyeColor  = color.NRGBA{0xff, 0xff, 0xff, 0xff}
)

// logoFiles returns the files that front ends look for, by name.
func logoFiles() (map[string][]byte, error) {
	files := map[string][]byte{"logo-svg.svg": logoSVG()}
	for _, size := range []int{32, 64} {
		var b bytes.Buffer
		if err := png.Encode(&b, logoImage(size)); err != nil {
			return nil, err
		}
		files[fmt.Sprintf("logo-%dx%d.png", size, size)] = b.Bytes()
	}
	return files, nil
}

func logoSVG() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d">`, logoField, logoField)
	for _, s := range logoInk {
		c := inkColor
		if s.width >= 4 {
			c = logoColor
		}
		fmt.Fprintf(&b, `<line x1="%g" y1="%g" x2="%g" y2="%g" stroke="%s" stroke-width="%g" stroke-linecap="round"/>`, s.x1, s.y1, s.x2, s.y2, hexColor(c), s.width)
	}
	for _, e := range logoBody {
		fmt.Fprintf(&b, `<ellipse cx="%g" cy="%g" rx="%g" ry="%g" fill="%s"/>`, e.x, e.y, e.rx, e.ry, hexColor(logoColor))
	}
	e := logoEye
	fmt.Fprintf(&b, `<ellipse cx="%g" cy="%g" rx="%g" ry="%g" fill="%s"/></svg>`+"\n", e.x, e.y, e.rx, e.ry, hexColor(eyeColor))
	return []byte(b.String())
}

func hexColor(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// logoImage samples every pixel at 4 by 4 points.
func logoImage(size int) image.Image {
	const samples = 4
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	step := float64(logoField) / float64(size*samples)
	for py := range size {
		for px := range size {
			var r, g, b, hits int
			for i := range samples * samples {
				x := (float64(px*samples+i%samples) + 0.5) * step
				y := (float64(py*samples+i/samples) + 0.5) * step
				if c, ok := logoAt(x, y); ok {
					r, g, b, hits = r+int(c.R), g+int(c.G), b+int(c.B), hits+1
				}
			}
			if hits > 0 {
				alpha := hits * 255 / (samples * samples)
				img.SetNRGBA(px, py, color.NRGBA{uint8(r / hits), uint8(g / hits), uint8(b / hits), uint8(alpha)})
			}
		}
	}
	return img
}

// logoAt returns the colour of a point, topmost shape first.
func logoAt(x, y float64) (color.NRGBA, bool) {
	if logoEye.contains(x, y) {
		return eyeColor, true
	}
	for _, e := range logoBody {
		if e.contains(x, y) {
			return logoColor, true
		}
	}
	for _, s := range logoInk {
		if !s.contains(x, y) {
			continue
		}
		if s.width >= 4 {
			return logoColor, true
		}
		return inkColor, true
	}
	return color.NRGBA{}, false
}

func (e ellipse) contains(x, y float64) bool {
	dx, dy := (x-e.x)/e.rx, (y-e.y)/e.ry
	return dx*dx+dy*dy <= 1
}

func (s stroke) contains(x, y float64) bool {
	dx, dy := s.x2-s.x1, s.y2-s.y1
	t := ((x-s.x1)*dx + (y-s.y1)*dy) / (dx*dx + dy*dy)
	t = math.Min(1, math.Max(0, t))
	return math.Hypot(x-s.x1-t*dx, y-s.y1-t*dy) <= s.width/2
}
