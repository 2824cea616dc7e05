/** Arguments of bubblewrap: which files and processes a program in the sandbox sees. */
import { realpath } from 'node:fs/promises'
import type { ExecutableSettings } from './settings.ts'

/**
 * What programs need to start. Nothing specific to the site: no other file of /etc, no home, nothing in /var, /srv,
 * /opt.
 */
const SYSTEM_PATHS = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'].concat(
  [
    'alternatives',
    'ca-certificates',
    'gai.conf',
    'group',
    'grid-security/certificates',
    'host.conf',
    'hosts',
    'ld.so.cache',
    'ld.so.conf',
    'ld.so.conf.d',
    'localtime',
    'mime.types',
    'nsswitch.conf',
    'passwd',
    'pki/ca-trust',
    'pki/tls/certs',
    'protocols',
    'resolv.conf',
    'services',
    'ssl/certs',
    'ssl/openssl.cnf',
    'timezone',
  ].map((name) => `/etc/${name}`),
)

/** Empty at the start of a run, and removed at its end. */
const PRIVATE_DIRECTORIES = ['/tmp', '/var/tmp']

/**
 * Returns the arguments of bwrap. The PID namespace hides other processes; its own are killed when the program or the
 * service ends. The network is that of the machine.
 */
export async function sandboxArguments(
  {
    readable_paths: readable,
    writable_paths: writable,
  }: Pick<ExecutableSettings, 'readable_paths' | 'writable_paths'>,
  file: string,
  directory: string,
): Promise<readonly string[]> {
  const bind = (how: string, paths: readonly string[]): readonly string[] =>
    paths.flatMap((path) => [how, path, path])
  const programFiles = new Set([file, await realpath(file).catch(() => file)])
  return [
    '--unshare-pid',
    '--unshare-ipc',
    '--die-with-parent',
    // Otherwise root would keep all capabilities.
    '--cap-drop',
    'ALL',
    ...bind('--ro-bind-try', SYSTEM_PATHS),
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    ...PRIVATE_DIRECTORIES.flatMap((path) => ['--tmpfs', path]),
    ...bind('--ro-bind', [...programFiles, ...readable]),
    ...bind('--bind', [...writable, directory]),
    '--chdir',
    directory,
    '--',
  ]
}
