// The server: one thread and one epoll for all clients. What takes time goes to Jobs, whose answers are one more event.
//
// A client is read only while there is room for its answers and no job of it is at work: so each takes a bounded amount of memory,
// a slow one slows down nobody else, and answers come in the order of the questions. Events carry numbers that are never used twice,
// not pointers: what comes late for a client that has left finds nobody.
#pragma once

#include "figures.hpp"
#include "perdure/run.hpp"
#include "perdure/settings.hpp"
#include "settings.hpp"

/// Until a stop is asked for, and then until all who have asked have their answers, three seconds at most.
void serve_clients(perdure::Context& ctx, const perdure::Config<Settings>& config, Figures& figures);
