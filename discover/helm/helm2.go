package helm

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	sigsyaml "sigs.k8s.io/yaml"
)

// Fields of Helm 2's messages (source: Helm 2, _proto/hapi: release/release.proto,
// chart/chart.proto, chart/metadata.proto, chart/config.proto).
const (
	releaseChart     = 3
	releaseConfig    = 4
	releaseManifest  = 5
	releaseNamespace = 8
	chartMetadata    = 1
	metadataName     = 1
	metadataVersion  = 4
	configRaw        = 1
)

// readProto reads a hapi.release.Release.
func readProto(raw []byte) (payload, error) {
	bad := func(what string) (payload, error) {
		return payload{}, fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	release, ok := fields(raw)
	if !ok {
		return bad("not the protocol buffer of a release")
	}
	chart, okChart := fields(release[releaseChart])
	metadata, okMetadata := fields(chart[chartMetadata])
	config, okConfig := fields(release[releaseConfig])
	if !okChart || !okMetadata || !okConfig {
		return bad("not the protocol buffer of a release")
	}
	p := payload{namespace: string(release[releaseNamespace]), manifest: string(release[releaseManifest]),
		chart: string(metadata[metadataName]), chartVersion: string(metadata[metadataVersion])}
	if text := config[configRaw]; len(text) > 0 {
		if len(text) > maxValues {
			return bad(fmt.Sprintf("its values are larger than %d bytes", maxValues))
		}
		values, err := sigsyaml.YAMLToJSON(text)
		if err != nil {
			return bad("its values are not YAML")
		}
		if p.values = values; string(values) == "null" {
			p.values = nil
		}
	}
	return p, nil
}

// fields gives the texts and messages among a message's fields, by number; of
// a field that stands several times the last, as the format has it.
func fields(message []byte) (map[protowire.Number][]byte, bool) {
	out := map[protowire.Number][]byte{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return nil, false
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return nil, false
		}
		out[number] = value
		message = message[n:]
	}
	return out, true
}
