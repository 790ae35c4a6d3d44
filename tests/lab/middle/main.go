// A proxy that opens every TLS connection, as those of companies do: it makes a certificate authority of its own, answers
// for each host with a certificate of that authority, and knows only the hosts that it is told, under names that no name
// server has. Whoever builds through it has been given the proxy and the authority.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

type hosts map[string]http.Handler

func (hosts) String() string { return "" }

// HOST=http://SERVER or HOST=DIRECTORY
func (h hosts) Set(text string) error {
	host, target, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not HOST=TARGET", text)
	}
	if !strings.HasPrefix(target, "http://") {
		h[host] = http.FileServer(http.Dir(target))
		return nil
	}
	server, err := url.Parse(target)
	if err != nil {
		return err
	}
	h[host] = &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(server)
		// A registry tells where an upload goes on by the name that it was asked under.
		request.SetXForwarded()
	}}
	return nil
}

type proxy struct {
	hosts     hosts
	user      string
	authority tls.Certificate
	mutex     sync.Mutex
	leaves    map[string]*tls.Certificate
}

func main() {
	listen := flag.String("listen", "", "addresses, with commas between them")
	file := flag.String("ca", "", "where the authority's certificate is written; the proxy listens by then")
	user := flag.String("user", "", "USER:PASSWORD that is asked for")
	served := hosts{}
	flag.Var(served, "host", "HOST=http://SERVER or HOST=DIRECTORY, several times")
	flag.Parse()
	log.SetFlags(0)
	proxy := &proxy{hosts: served, user: *user, leaves: map[string]*tls.Certificate{}}
	proxy.authority = issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "an authority of the laboratory"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	failed := make(chan error)
	for _, address := range strings.Split(*listen, ",") {
		listener, err := net.Listen("tcp", address)
		check(err)
		go func() { failed <- http.Serve(listener, proxy) }()
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.authority.Certificate[0]})
	check(os.WriteFile(*file+".part", block, 0o644))
	check(os.Rename(*file+".part", *file))
	check(<-failed)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A certificate, by the authority or, without one, by itself.
func issue(template *x509.Certificate, authority *tls.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	check(err)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := template, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	bytes, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	check(err)
	leaf, err := x509.ParseCertificate(bytes)
	check(err)
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key, Leaf: leaf}
}

func (p *proxy) leaf(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if known := p.leaves[hello.ServerName]; known != nil {
		return known, nil
	}
	made := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: hello.ServerName}, DNSNames: []string{hello.ServerName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &p.authority)
	p.leaves[hello.ServerName] = &made
	return &made, nil
}

func (p *proxy) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	// What was asked, for the tests: how, by whom, what.
	log.Printf("%s %s %s", request.Method, request.Host, request.UserAgent())
	expected := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user))
	if p.user != "" && request.Header.Get("Proxy-Authorization") != expected {
		writer.Header().Set("Proxy-Authenticate", `Basic realm="laboratory"`)
		http.Error(writer, "who are you", http.StatusProxyAuthRequired)
		return
	}
	request.Header.Del("Proxy-Authorization")
	host, _, _ := strings.Cut(request.Host, ":")
	handler := p.hosts[host]
	if handler == nil {
		http.Error(writer, "no such host", http.StatusBadGateway)
		return
	}
	if request.Method != http.MethodConnect {
		handler.ServeHTTP(writer, request)
		return
	}
	connection, _, err := writer.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	opened := tls.Server(connection, &tls.Config{GetCertificate: p.leaf, NextProtos: []string{"http/1.1"}})
	if err := opened.Handshake(); err != nil {
		log.Printf("refused %s %v", request.Host, err)
		return
	}
	serve(opened, handler)
}

// One connection's requests, to its end.
func serve(connection net.Conn, handler http.Handler) {
	done := make(chan struct{})
	listener := &single{connection: connection, done: done}
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			close(done)
		}
	}}
	_ = server.Serve(listener)
}

// A listener with one connection, which lasts as long as it does.
type single struct {
	connection net.Conn
	done       chan struct{}
	given      bool
}

func (s *single) Accept() (net.Conn, error) {
	if !s.given {
		s.given = true
		return s.connection, nil
	}
	<-s.done
	return nil, io.EOF
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return s.connection.LocalAddr() }
