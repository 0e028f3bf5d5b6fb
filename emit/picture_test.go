package emit

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"os"
	"slices"
	"testing"
)

// largestPicture is how many bytes a picture in the repository may have.
const largestPicture = 100 << 10

// savePicture writes a picture with as many colours, up to 256, as fit into
// largestPicture.
func savePicture(t testing.TB, file string, picture image.Image) {
	t.Helper()
	for _, colors := range []int{256, 128, 64, 32, 16} {
		var b bytes.Buffer
		encoder := png.Encoder{CompressionLevel: png.BestCompression}
		if err := encoder.Encode(&b, paletted(picture, colors)); err != nil {
			t.Fatal(err)
		}
		if b.Len() >= largestPicture {
			continue
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d colours, %d KiB, %v", file, colors, b.Len()>>10, picture.Bounds().Max)
		return
	}
	t.Errorf("%s has more than %d bytes even with few colours: show less", file, largestPicture)
}

// cropped leaves out what follows the last thing that is drawn, on the right and
// below, but for a margin.
func cropped(picture image.Image) image.Image {
	const margin = 16
	bounds := picture.Bounds()
	background := picture.At(bounds.Max.X-1, bounds.Max.Y-1)
	last := bounds.Min
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if picture.At(x, y) != background {
				last = image.Pt(max(last.X, x), max(last.Y, y))
			}
		}
	}
	kept := image.Rectangle{bounds.Min, image.Pt(min(bounds.Max.X, last.X+margin), min(bounds.Max.Y, last.Y+margin))}
	return picture.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(kept)
}

// tint is a colour with how many points of a picture have it.
type tint struct {
	rgb   [3]uint8
	count int
}

// paletted gives a picture with at most so many colours, by median cut: the set
// of colours is halved where it is widest until there are enough parts, each of
// which becomes its mean.
func paletted(picture image.Image, colors int) *image.Paletted {
	bounds := picture.Bounds()
	counts := map[[3]uint8]int{}
	at := func(x, y int) [3]uint8 {
		r, g, b, _ := picture.At(x, y).RGBA()
		return [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	all := make([]tint, 0, len(counts))
	for rgb, n := range counts {
		all = append(all, tint{rgb, n})
	}
	slices.SortFunc(all, func(a, b tint) int { return slices.Compare(a.rgb[:], b.rgb[:]) })
	parts := [][]tint{all}
	for len(parts) < colors {
		widest, channel, width := -1, 0, 0
		for i, part := range parts {
			for c := range 3 {
				low, high := uint8(255), uint8(0)
				for _, t := range part {
					low, high = min(low, t.rgb[c]), max(high, t.rgb[c])
				}
				if w := int(high) - int(low); len(part) > 1 && w > width {
					widest, channel, width = i, c, w
				}
			}
		}
		if widest < 0 {
			break
		}
		part := parts[widest]
		slices.SortStableFunc(part, func(a, b tint) int { return cmp.Compare(a.rgb[channel], b.rgb[channel]) })
		// By colours and not by points: a page is mostly background, and the
		// colours of its text must not be merged for that.
		half := len(part) / 2
		parts[widest] = part[:half]
		parts = append(parts, part[half:])
	}
	index := map[[3]uint8]uint8{}
	var palette color.Palette
	for i, part := range parts {
		palette = append(palette, mean(part))
		for _, t := range part {
			index[t.rgb] = uint8(i)
		}
	}
	out := image.NewPaletted(image.Rect(0, 0, bounds.Dx(), bounds.Dy()), palette)
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			out.Pix[y*out.Stride+x] = index[at(bounds.Min.X+x, bounds.Min.Y+y)]
		}
	}
	return out
}

// mean of the colours by how often they are used, so that a background keeps
// its own.
func mean(part []tint) color.Color {
	var sum [3]int
	total := 0
	for _, t := range part {
		for c := range 3 {
			sum[c] += int(t.rgb[c]) * t.count
		}
		total += t.count
	}
	return color.RGBA{uint8((sum[0] + total/2) / total), uint8((sum[1] + total/2) / total), uint8((sum[2] + total/2) / total), 255}
}

func TestAPictureOfFewColoursKeepsThem(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 40, 40))
	want := []color.RGBA{{255, 255, 255, 255}, {200, 30, 30, 255}, {10, 20, 30, 255}}
	for y := range 40 {
		for x := range 40 {
			picture.SetRGBA(x, y, want[min(2, x*y%17)])
		}
	}
	got := paletted(picture, 8)
	if len(got.Palette) != 3 {
		t.Fatalf("%d colours of 3", len(got.Palette))
	}
	for y := range 40 {
		for x := range 40 {
			if got.At(x, y) != picture.At(x, y) {
				t.Fatalf("at %d,%d %v became %v", x, y, picture.At(x, y), got.At(x, y))
			}
		}
	}
	// Of more colours than are wanted, each becomes one that is near.
	for y := range 40 {
		for x := range 40 {
			picture.SetRGBA(x, y, color.RGBA{uint8(x * 6), uint8(y * 6), 0, 255})
		}
	}
	if got = paletted(picture, 256); len(got.Palette) > 256 {
		t.Fatalf("%d colours", len(got.Palette))
	}
	for y := range 40 {
		for x := range 40 {
			a, b := picture.RGBAAt(x, y), got.At(x, y).(color.RGBA)
			if max(int(a.R)-int(b.R), int(b.R)-int(a.R)) > 16 || max(int(a.G)-int(b.G), int(b.G)-int(a.G)) > 16 {
				t.Fatalf("at %d,%d %v became %v", x, y, a, b)
			}
		}
	}
}
