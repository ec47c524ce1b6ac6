package filecoin

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// good is a tipset as Lotus' API gave it.
func good(t testing.TB) string {
	raw, err := os.ReadFile("testdata/tipset.json")
	require.NoError(t, err)
	return string(raw)
}

func TestATipsetIsWhatItsHeadersHashTo(t *testing.T) {
	b, err := decodeTipset(json.RawMessage(good(t)))
	require.NoError(t, err)
	require.NotZero(t, b.Number)
	for what, edit := range map[string][2]string{
		"another time":   {`"Timestamp":`, `"Timestamp":1`},
		"another height": {`"Height":`, `"Height":1`},
		"another weight": {`"ParentWeight":"`, `"ParentWeight":"1`},
	} {
		edited := strings.ReplaceAll(good(t), edit[0], edit[1])
		require.NotEqual(t, good(t), edited)
		_, err := decodeTipset(json.RawMessage(edited))
		require.ErrorIs(t, err, errTipset, what)
	}
	for _, raw := range []string{``, `null`, `{}`, `[]`, `{"Cids":[],"Blocks":[],"Height":0}`, `{"Cids":null,"Blocks":[null],"Height":-1}`, strings.Replace(good(t), `"Cids":[`, `"Cids":[{},`, 1)} {
		_, err := decodeTipset(json.RawMessage(raw))
		require.ErrorIs(t, err, errTipset, raw)
	}
}

func FuzzATipsetIsHashedOrRefused(f *testing.F) {
	f.Add([]byte(good(f)))
	f.Add([]byte(`{"Cids":[{"/":"bafy2bzacea"}],"Blocks":[{}],"Height":1}`))
	f.Add([]byte(`{"Cids":[null],"Blocks":[{"Ticket":null,"Parents":[null]}],"Height":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := decodeTipset(raw)
		if err != nil {
			require.ErrorIs(t, err, errTipset)
			return
		}
		again, err := decodeTipset(raw)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
