/** nginx with one worker: the fastest known way to serve the bytes of a file. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, startProgram, type Target, waitForPort } from './programs.ts'

const NGINX = '/usr/sbin/nginx'

/** The Debian package that is missing, or undefined. */
export const missingNginxPackage = existsSync(NGINX) ? undefined : 'nginx-light'

/** Serves `content` at `/get_proxy`. */
export async function startNginx(directory: string, content: string): Promise<Target> {
  const root = join(directory, 'nginx')
  await mkdir(join(root, 'files'), { recursive: true })
  await mkdir(join(root, 'temp'), { recursive: true })
  await writeFile(join(root, 'files/get_proxy'), content)
  const port = await freePort()
  const configuration = join(root, 'nginx.conf')
  await writeFile(configuration, configurationText(root, port))
  const logFile = join(root, 'output.log')
  const words = ['-p', root, '-c', configuration, '-e', join(root, 'error.log')]
  const program = startProgram(NGINX, words, { logFile })
  await waitForPort(port, program)
  return { url: `http://127.0.0.1:${port}`, pid: program.pid, stop: program.stop }
}

/** Like certcache: one process, answers from memory, persistent connections, no log. */
function configurationText(root: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${root}/temp/${name};`)
    .join('\n  ')
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${root}/nginx.pid;
error_log ${root}/error.log;
events { worker_connections 1024; }
http {
  ${temporary}
  access_log off;
  keepalive_requests 100000000;
  open_file_cache max=16;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  server { listen 127.0.0.1:${port}; root ${root}/files; }
}
`
}
