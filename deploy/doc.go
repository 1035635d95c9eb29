// Package deploy holds how rolebridge is run: images, the compose file's settings, Prometheus' rules and Grafana's dashboards.
//
// It has no code but its tests, and the small program in cmd/setup. It is not the place for settings that change what
// rolebridge does: those are in the packages themselves.
//
// The tests start what docker-compose.yml describes, as processes on real servers: the same settings, commands and health
// checks, with other addresses. Then every query of the dashboards and alerts runs on a real Prometheus that scrapes them.
package deploy
