/*
 * floor: the least that a forwarder in user space can do. It accepts, connects
 * to the backend, reads up to 64 KB and writes them to the other side, without
 * a look at the bytes: two reads and two writes a query. What a proxy costs
 * more than this is the price of what it knows.
 *
 *     floor LISTEN_PORT BACKEND_PORT          (both on 127.0.0.1)
 *
 * Level-triggered epoll, one read an event. What the other side's socket does
 * not take is kept, and nothing more is read for it until it has gone, so one
 * direction of a session holds 64 KB at most, and an idle session nothing.
 *
 * The connect blocks, which is fair on loopback only. The end of one side ends
 * the other as soon as all that was read for it is written: MySQL clients do not
 * close one direction and go on reading.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, EVENTS = 256 };

/* side is one socket of a session. */
struct side {
	int fd;
	uint32_t watched;
	char *pending; /* read from the other side, refused by this socket */
	size_t pending_at, pending_end;
	struct session *session;
	struct side *other;
};

struct session {
	struct side client, server;
	int closed;
	struct session *next_closed;
};

static int epfd;
static char buffer[READ_SIZE];

/* Freed when the batch of events is done, as later events of it may still
 * point to them. */
static struct session *closed_sessions;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in loopback(const char *port)
{
	char *end;
	long n = strtol(port, &end, 10);
	if (*port == 0 || *end != 0 || n < 1 || n > 65535) {
		fprintf(stderr, "floor: not a port: %s\n", port);
		exit(2);
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)n)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static void no_delay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void close_session(struct session *s)
{
	if (s->closed)
		return;
	s->closed = 1;
	close(s->client.fd);
	close(s->server.fd);
	s->next_closed = closed_sessions;
	closed_sessions = s;
}

static void free_closed(void)
{
	while (closed_sessions) {
		struct session *s = closed_sessions;
		closed_sessions = s->next_closed;
		free(s->client.pending);
		free(s->server.pending);
		free(s);
	}
}

static int watch(struct side *d, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = d};
	if (d->watched == events)
		return 0;
	d->watched = events;
	return epoll_ctl(epfd, EPOLL_CTL_MOD, d->fd, &e);
}

/* put writes to d and keeps the rest; -1 if the session must end. */
static int put(struct side *d, const char *p, size_t n)
{
	ssize_t w = write(d->fd, p, n);
	if (w < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		w = 0;
	}
	if ((size_t)w == n)
		return 0;
	if (!d->pending && !(d->pending = malloc(READ_SIZE)))
		return -1;
	d->pending_at = 0;
	d->pending_end = n - (size_t)w;
	memcpy(d->pending, p + w, d->pending_end);
	/* Wait for d to take more, and read nothing more for it until then. */
	if (watch(d, d->watched | EPOLLOUT) < 0)
		return -1;
	return watch(d->other, d->other->watched & ~(uint32_t)EPOLLIN);
}

/* drain writes what d refused before; -1 if the session must end. */
static int drain(struct side *d)
{
	if (d->pending) {
		ssize_t w = write(d->fd, d->pending + d->pending_at, d->pending_end - d->pending_at);
		if (w < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		d->pending_at += (size_t)w;
		if (d->pending_at < d->pending_end)
			return 0;
		free(d->pending);
		d->pending = NULL;
	}
	if (watch(d, d->watched & ~(uint32_t)EPOLLOUT) < 0)
		return -1;
	return watch(d->other, d->other->watched | EPOLLIN);
}

/* forward reads once from d and writes to the other side; -1 at the end. */
static int forward(struct side *d)
{
	ssize_t n = read(d->fd, buffer, sizeof buffer);
	if (n > 0)
		return put(d->other, buffer, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void handle(struct side *d, uint32_t events)
{
	if (d->session->closed)
		return;
	if ((events & EPOLLOUT) && drain(d) < 0)
		goto end;
	if ((events & EPOLLIN) && (d->watched & EPOLLIN) && forward(d) < 0)
		goto end;
	/* A dead socket that is not being read. A reset also says EPOLLIN, and then
	 * the read above has told. */
	if ((events & (EPOLLERR | EPOLLHUP)) && !(d->watched & EPOLLIN))
		goto end;
	return;
end:
	close_session(d->session);
}

static void begin(int fd, const struct sockaddr_in *backend)
{
	int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct session *s = calloc(1, sizeof *s);
	if (up < 0 || !s || connect(up, (const struct sockaddr *)backend, sizeof *backend) < 0)
		goto fail;
	if (fcntl(up, F_SETFL, O_NONBLOCK) < 0)
		goto fail;
	no_delay(fd);
	no_delay(up);
	s->client = (struct side){.fd = fd, .watched = EPOLLIN, .session = s, .other = &s->server};
	s->server = (struct side){.fd = up, .watched = EPOLLIN, .session = s, .other = &s->client};
	struct epoll_event c = {.events = EPOLLIN, .data.ptr = &s->client};
	struct epoll_event b = {.events = EPOLLIN, .data.ptr = &s->server};
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &c) < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, up, &b) < 0)
		goto fail;
	return;
fail:
	perror("floor: session");
	close(fd);
	if (up >= 0)
		close(up);
	free(s);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: floor LISTEN_PORT BACKEND_PORT\n");
		return 2;
	}
	struct sockaddr_in here = loopback(argv[1]), backend = loopback(argv[2]);
	signal(SIGPIPE, SIG_IGN);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	if (listener < 0)
		die("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, 4096) < 0)
		die("listen");
	if ((epfd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	struct epoll_event l = {.events = EPOLLIN, .data.ptr = NULL};
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &l) < 0)
		die("epoll_ctl");

	struct epoll_event events[EVENTS];
	for (;;) {
		int n = epoll_wait(epfd, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr) {
				handle(events[i].data.ptr, events[i].events);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd >= 0)
				begin(fd, &backend);
		}
		free_closed();
	}
}
