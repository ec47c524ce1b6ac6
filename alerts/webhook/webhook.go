// Package webhook posts alerts as JSON to one URL of the operator's choice. It
// never follows a redirect and never logs the URL, which may carry a secret.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
)

// Sink posts to a URL.
type Sink struct {
	url    string
	client *http.Client
}

// New checks the URL: http or https, with a host.
func New(raw string) (*Sink, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("webhook: give an http or https URL with a host")
	}
	return &Sink{url: raw, client: &http.Client{
		Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}, nil
}

// Send posts one alert; any status but 2xx is an error.
func (s *Sink) Send(ctx context.Context, a alerts.Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode alert: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("post alert: bad request")
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL stays out of the log
		}
		return fmt.Errorf("post alert: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("post alert: the webhook answered %d", res.StatusCode)
	}
	return nil
}
