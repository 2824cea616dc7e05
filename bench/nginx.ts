/** nginx as the measure of what a server of files can do on this machine: one worker, on loopback, with a prefix of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

const PACKAGE = 'nginx-light'
const places = [
  '/usr/sbin/nginx',
  '/usr/local/sbin/nginx',
  '/usr/bin/nginx',
  '/usr/local/bin/nginx',
]
const find = (): string | undefined => places.find((path) => existsSync(path))

/** Path of nginx, installed from Debian's packages where we may; undefined when it cannot be had. */
export function provideNginx(mayInstall: boolean): string | undefined {
  if (find() !== undefined || !mayInstall || !existsSync('/usr/bin/apt-get')) return find()
  process.stderr.write(`Installing for the benchmark: ${PACKAGE}\n`)
  // A daemon of the distribution must not start with it.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const words = ['install', '-y', '-q', '--no-install-recommends', PACKAGE]
  spawnSync('apt-get', words, { env, stdio: ['ignore', 'ignore', 'inherit'], timeout: 300_000 })
  return find()
}

export interface Nginx {
  readonly port: number
  /** Of the process that answers. */
  readonly pid: number
  stop(): Promise<void>
}

/** Serves one file at /get_proxy, with the headers that such a file needs. */
export async function startNginx(program: string, directory: string, file: string): Promise<Nginx> {
  const port = await freePort()
  const prefix = join(directory, 'nginx')
  await mkdir(join(prefix, 'tmp'), { recursive: true })
  await writeFile(join(prefix, 'nginx.conf'), configuration(prefix, port, file))
  const words = ['-p', prefix, '-c', join(prefix, 'nginx.conf'), '-e', join(prefix, 'error.log')]
  const child = spawn(program, words, { stdio: 'ignore' })
  await answers(child, port)
  return {
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGQUIT')
      const timer = setTimeout(() => child.kill('SIGKILL'), 3000)
      await ended
      clearTimeout(timer)
    },
  }
}

/** One process that is master and worker at once, so that its pid is the one that is measured. */
const configuration = (prefix: string, port: number, file: string): string => `
daemon off;
master_process off;
worker_processes 1;
pid ${prefix}/nginx.pid;
error_log ${prefix}/error.log;
events { worker_connections 2048; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  open_file_cache max=10;
  keepalive_requests 1000000000;
  client_body_temp_path ${prefix}/tmp/body;
  proxy_temp_path ${prefix}/tmp/proxy;
  fastcgi_temp_path ${prefix}/tmp/fastcgi;
  uwsgi_temp_path ${prefix}/tmp/uwsgi;
  scgi_temp_path ${prefix}/tmp/scgi;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /get_proxy {
      default_type application/octet-stream;
      add_header Cache-Control no-store;
      alias ${file};
    }
  }
}
`

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function answers(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 100 && child.exitCode === null; attempt += 1) {
    const response = await fetch(`http://127.0.0.1:${port}/get_proxy`).catch(() => undefined)
    if (response?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  child.kill('SIGKILL')
  throw new Error('nginx does not answer')
}
