package axelar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMetadataVersion says when the metadata of a transfer has another version
// than 0. Version 1 asked for an express call on ITS 2.1.1 and reverts on
// 2.2.0.
var ErrMetadataVersion = errors.New("metadata is not of version 0")

const metadataVersionLen = 4

// EncodeMetadata is the metadata of a transfer that carries data: nothing where
// there is none, else the version, four zero bytes, and the data.
func EncodeMetadata(data []byte) []byte {
	if len(data) == 0 {
		return []byte{}
	}
	return append(make([]byte, metadataVersionLen, metadataVersionLen+len(data)), data...)
}

// DecodeMetadata is the data in the metadata of a transfer. One to three bytes,
// which ITS takes for none, are refused (ErrMalformed): nobody means them.
func DecodeMetadata(metadata []byte) ([]byte, error) {
	if len(metadata) == 0 {
		return []byte{}, nil
	}
	if len(metadata) < metadataVersionLen {
		return nil, fmt.Errorf("decode metadata: %d bytes: %w", len(metadata), ErrMalformed)
	}
	if version := binary.BigEndian.Uint32(metadata); version != 0 {
		return nil, fmt.Errorf("decode metadata: version %d: %w", version, ErrMetadataVersion)
	}
	return bytes.Clone(metadata[metadataVersionLen:]), nil
}
