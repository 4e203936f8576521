"""Who may come in: TLS, client certificates, passwords and rate limits of the HTTP server.

The file that says so is the one of Prometheus' exporters (exporter-toolkit, `--web.config.file`). It is read by a child
(`webfile`), kept as plain values (`web`), and followed while the server runs (`door`). OpenSSL (`tls`, 6 MB) and bcrypt
(`password`) are loaded by the daemon only when the file asks for them.
"""
