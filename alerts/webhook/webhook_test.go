package webhook

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/stretchr/testify/require"
)

func TestAnAlertIsPostedAsJSON(t *testing.T) {
	var got alerts.Alert
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&got)
	}))
	defer srv.Close()
	s, err := New(srv.URL)
	require.NoError(t, err)
	require.NoError(t, s.Send(t.Context(), alerts.Alert{Name: alerts.GasLow, Key: "root", Summary: "low"}))
	require.Equal(t, "low", got.Summary)
}

func TestErrorsNeverShowTheURL(t *testing.T) {
	s, err := New("http://127.0.0.1:1/secret-token")
	require.NoError(t, err)
	err = s.Send(t.Context(), alerts.Alert{})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-token")
	_, err = New("ftp://secret-token")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-token")
}

func TestRedirectsAndRefusalsAreErrors(t *testing.T) {
	for _, status := range []int{302, 404, 500} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", status)
		}))
		s, err := New(srv.URL)
		require.NoError(t, err)
		require.ErrorContains(t, s.Send(t.Context(), alerts.Alert{}), "answered")
		srv.Close()
	}
}
