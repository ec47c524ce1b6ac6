package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/cometbft/cometbft/privval"

	"github.com/causeway-bridge/causeway/chains"
)

// ServeSignerConfig is a signer as a process of its own.
type ServeSignerConfig struct {
	Dir    string // of OpenFileSigner
	Listen string // unix:///path or https://host:port, port 0 = any free one
	TLS    TLSFiles

	// Consensus is the Unix socket (unix:///path) on which the node waits for
	// whoever signs CometBFT's own votes; "" = the node signs those. ChainID is
	// the subnet's.
	Consensus string
	ChainID   chains.ID

	Ready func(address string) // told once it listens; nil = nobody
	Log   *slog.Logger
}

// ServeSigner signs for one validator until ctx ends. Two of them never run on
// one folder.
func ServeSigner(ctx context.Context, cfg ServeSignerConfig) (err error) {
	signer, err := OpenFileSigner(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, signer.Close()) }()
	l, address, err := listenSigner(cfg.Listen, cfg.TLS)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: signHandler(signer, cfg.Log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	if cfg.Consensus != "" {
		stop, err := serveConsensus(cfg)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		defer stop()
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	cfg.Log.Info("signer started", "validator", signer.Address(), "sequence", signer.Sequence())
	if cfg.Ready != nil {
		cfg.Ready(address)
	}
	select {
	case err = <-failed:
		return fmt.Errorf("serve signer: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), rpcStopPatience)
	defer cancel()
	if err = srv.Shutdown(last); err != nil {
		err = srv.Close()
	}
	<-failed
	return err
}

// listenSigner opens the listener and says how to reach it. A socket that an
// earlier process left behind is replaced.
func listenSigner(listen string, files TLSFiles) (net.Listener, string, error) {
	network, at, err := signerAddress(listen, files)
	if err != nil {
		return nil, "", err
	}
	if network == "unix" {
		if err := removeSocket(at); err != nil {
			return nil, "", err
		}
		l, err := net.Listen("unix", at)
		if err != nil {
			return nil, "", fmt.Errorf("listen for the node: %w", err)
		}
		if err := os.Chmod(at, 0o600); err != nil {
			return nil, "", errors.Join(fmt.Errorf("protect socket: %w", err), l.Close())
		}
		return l, listen, nil
	}
	conf, err := files.config()
	if err != nil {
		return nil, "", err
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, "", fmt.Errorf("listen for the node: %w", err)
	}
	return tls.NewListener(l, conf), "https://" + l.Addr().String(), nil
}

// removeSocket takes away what a process that was killed left behind.
func removeSocket(path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove old socket: %w", err)
	}
	return nil
}

// signHandler answers the protocol of signwire.go.
func signHandler(s *FileSigner, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathSigner, func(w http.ResponseWriter, _ *http.Request) {
		answerSigner(w, http.StatusOK, signerAnswer{Validator: s.Address(), Sequence: s.Sequence()})
	})
	mux.HandleFunc("POST "+pathSign, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSignBody))
		var req signRequest
		if err == nil {
			err = strictJSON(text, &req)
		}
		kind, known := kindNamed(req.Kind)
		if err != nil || !known {
			answerSigner(w, http.StatusBadRequest, signRefusal{codeMalformed})
			return
		}
		sig, err := s.Sign(r.Context(), SignName{Kind: kind, Scope: req.Scope, Key: req.Key}, req.Digest)
		switch {
		case errors.Is(err, ErrConflict):
			log.Warn("refused: it would contradict an earlier signature", "kind", req.Kind, "key", req.Key)
			answerSigner(w, http.StatusConflict, signRefusal{codeConflict})
		case errors.Is(err, ErrRolledBack):
			log.Warn("refused: below what is remembered", "kind", req.Kind, "key", req.Key)
			answerSigner(w, http.StatusConflict, signRefusal{codeRolledBack})
		case err != nil:
			log.Error("sign item", "kind", req.Kind, "key", req.Key, "error", err)
			answerSigner(w, http.StatusInternalServerError, signRefusal{codeFailed})
		default:
			answerSigner(w, http.StatusOK, signAnswer{Signature: sig[:], Sequence: s.Sequence()})
		}
	})
	return mux
}

func answerSigner(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encodeJSON(v))
}

// serveConsensus signs CometBFT's votes and proposals over CometBFT's own
// signer protocol: it connects to the node, again and again. Key and last
// signed state are in the same folder.
func serveConsensus(cfg ServeSignerConfig) (stop func(), err error) {
	pv, err := loadPrivValidator(cfg.Dir)
	if err != nil {
		return nil, err
	}
	at, err := socketPath(cfg.Consensus)
	if err != nil {
		return nil, err
	}
	endpoint := privval.NewSignerDialerEndpoint(&cometLog{log: cfg.Log, failed: make(chan error, 1)},
		privval.DialUnixFn(at), privval.SignerDialerEndpointConnRetries(math.MaxInt))
	server := privval.NewSignerServer(endpoint, cfg.ChainID.String(), pv)
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start consensus signer: %w", err)
	}
	return func() { _ = server.Stop() }, nil
}
