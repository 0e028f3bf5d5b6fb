// Command image packs the program into a container image without anything else
// in it, as an archive that `docker load`, `crane push` and `skopeo copy
// docker-archive:FILE` take. The same program gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// user is the account of the agent's Pod, which has no name in the image.
const user = "65532:65532"

func main() {
	program := flag.String("program", "", "the static program to pack")
	arch := flag.String("arch", "", "the architecture that it was built for")
	tag := flag.String("tag", "", "name and tag of the image in the archive")
	out := flag.String("out", "", "archive to write")
	flag.Parse()
	if err := pack(*program, *arch, *tag, *out); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// pack writes an image of one program to an archive.
func pack(program, arch, tag, out string) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	files, err := layer(content)
	if err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	image, err := mutate.AppendLayers(empty.Image, files)
	if err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = arch, "linux"
	config.Config = v1.Config{Entrypoint: []string{"/fluxover"}, User: user}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	if err := tarball.WriteToFile(out, ref, image); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}

// layer holds the program alone.
func layer(program []byte) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "fluxover", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}
