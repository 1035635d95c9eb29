// Package listen is how a process is reached over HTTP: the one place for addresses, TLS and limits of all its listeners.
//
// It answers nothing itself and knows nobody who asks: handlers do. Its part is that no listener shows secrets on a wire by
// accident, and that no peer, slow, large, many or broken, takes a listener away from the others.
//
// The life of a listener: [Settings] are checked (settings.go): plain HTTP on loopback and on the link-local addresses of
// container agents only, unless told otherwise. [Open] binds the address and reads the certificate (tls.go). Connections
// are counted, all of them and those of each source (connections.go). [Listener.Serve] serves HTTP/1.1 with limits of
// size and time (serve.go) until its context ends, and lets requests finish. [Sources] says where a request comes from,
// when a proxy stands between (source.go).
package listen
