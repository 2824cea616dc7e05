/** Explains error codes of the operating system (`EACCES`, `ENOSPC`) in words, with what to do. */
import { TtsError } from './errors.ts'

interface Explanation {
  /** Completes the sentence "PATH cannot be read: …". */
  readonly reason: string
  /** What the person can do, as full sentences. */
  readonly remedy: string
}

const fileCodes: Readonly<Record<string, Explanation>> = {
  EACCES: {
    reason: 'permission denied',
    remedy:
      'Run this as the user who owns the file, name another path, or change the permissions of the file and its directories.',
  },
  EPERM: {
    reason: 'the system does not permit it',
    remedy:
      'Only the owner or root may do this. If you are the owner, check the mount options and whether the file is immutable (lsattr).',
  },
  ENOENT: {
    reason: 'the file or its directory does not exist',
    remedy: 'Correct the path, or create the directory.',
  },
  ENOTDIR: {
    reason: 'a part of the path is not a directory',
    remedy: 'Correct the path.',
  },
  EISDIR: { reason: 'it is a directory', remedy: 'Name a file.' },
  EEXIST: { reason: 'it exists already', remedy: 'Name another path, or remove it.' },
  ENOTEMPTY: { reason: 'the directory is not empty', remedy: 'Name another path.' },
  ELOOP: {
    reason: 'the symbolic links of the path form a loop, or are too many',
    remedy: 'Name the file itself.',
  },
  ENAMETOOLONG: { reason: 'the path is too long', remedy: 'Name a shorter path.' },
  ENOSPC: { reason: 'the disk is full', remedy: 'Free space on the disk.' },
  EDQUOT: {
    reason: 'the disk quota is exhausted',
    remedy: 'Free space, or ask for a higher quota.',
  },
  EFBIG: {
    reason: 'it would exceed the file size limit',
    remedy: 'Raise the file size limit (ulimit -f).',
  },
  EROFS: {
    reason: 'the file system is read-only',
    remedy: 'Name a path on another file system, or mount this one writable.',
  },
  EIO: {
    reason: 'the disk reports an input/output error',
    remedy: 'Look for disk errors in the log of the system (dmesg), and name another disk.',
  },
  EMFILE: {
    reason: 'this process has too many open files',
    remedy: 'Raise the limit of open files (ulimit -n, LimitNOFILE).',
  },
  ENFILE: {
    reason: 'the system has too many open files',
    remedy: 'Close programs, or raise fs.file-max.',
  },
  ENOMEM: { reason: 'the system is out of memory', remedy: 'Free memory, then try again.' },
  EBUSY: {
    reason: 'it is in use',
    remedy: 'Name another path: a mount point, for example, cannot be replaced.',
  },
  ETXTBSY: { reason: 'it is a running program', remedy: 'Name another path.' },
  ENXIO: {
    reason: 'it is a socket, or a pipe or device without a program',
    remedy: 'Name a file.',
  },
  ENODEV: { reason: 'the device does not exist', remedy: 'Name a file.' },
  EINVAL: {
    reason: 'the file system does not support the operation',
    remedy: 'Name a path on another file system.',
  },
  ENOTSUP: {
    reason: 'the file system does not support the operation',
    remedy: 'Name a path on another file system.',
  },
  EXDEV: { reason: 'it is on another file system', remedy: 'Name a path on the same file system.' },
  ESTALE: {
    reason: 'the server of the network file system no longer knows it',
    remedy: 'Mount the file system again, then try again.',
  },
  ENOTCONN: {
    reason: 'the file system has lost its connection',
    remedy: 'Mount the file system again, then try again.',
  },
  ETIMEDOUT: {
    reason: 'the file system does not answer',
    remedy: 'Check the server of the network file system, then try again.',
  },
}

const socketCodes: Readonly<Record<string, Explanation>> = {
  EADDRINUSE: {
    reason: 'another program listens there',
    remedy: 'Choose another port or path, or stop the other program (`ss -lntp` shows it).',
  },
  EADDRNOTAVAIL: {
    reason: 'this machine does not have the address',
    remedy: 'Choose an address of this machine (`ip address` shows them), or 0.0.0.0 or ::.',
  },
  EAFNOSUPPORT: {
    reason: 'this machine does not support the address family',
    remedy: 'Choose an address of the other family: IPv6 is probably disabled.',
  },
  EACCES: {
    reason: 'permission denied',
    remedy:
      'Choose a port from 1024, or allow the program low ports (AmbientCapabilities=CAP_NET_BIND_SERVICE). For a path, let this user write to its directory.',
  },
  ENOTFOUND: {
    reason: 'the host name does not exist',
    remedy: 'Correct the host name, or choose an address.',
  },
  EINVAL: { reason: 'the address or path is not valid', remedy: 'Choose a shorter path.' },
}

/** Faults of the machine. The command and its settings may be right. */
const machineFaults = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE'])

/** Returns the code of an error of the system, for example `ENOENT`; undefined for any other error. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : ''
  return typeof code === 'string' && /^E[A-Z0-9]{1,20}$/.test(code) ? code : undefined
}

/** Returns why an operation on a file failed, in words. */
export function fileErrorReason(error: unknown): string {
  return reasonIn(fileCodes, error)
}

/** Returns what to do about a failed operation on a file; undefined if that is not known. */
export function fileErrorRemedy(error: unknown): string | undefined {
  return explanationIn(fileCodes, error)?.remedy
}

/**
 * Returns the error for a program that cannot listen.
 *
 * @param address address and port, or path
 * @param remedies replace the remedy for a code
 */
export function listenError(
  address: string,
  cause: unknown,
  remedies: Readonly<Record<string, string>> = {},
): TtsError {
  const table = { ...fileCodes, ...socketCodes }
  const remedy = remedies[systemErrorCode(cause) ?? ''] ?? explanationIn(table, cause)?.remedy
  return new TtsError('configuration', `cannot listen on ${address}: ${reasonIn(table, cause)}`, {
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  })
}

/** Tells whether an error, or a cause of it, is a fault of the machine such as a full disk. */
export function isMachineFault(error: unknown): boolean {
  const MAX_CAUSES = 8
  let current = error
  for (let depth = 0; depth < MAX_CAUSES; depth += 1) {
    if (machineFaults.has(systemErrorCode(current) ?? '')) return true
    current = current instanceof Error ? current.cause : undefined
  }
  return false
}

function explanationIn(
  table: Readonly<Record<string, Explanation>>,
  error: unknown,
): Explanation | undefined {
  const code = systemErrorCode(error) ?? ''
  return Object.hasOwn(table, code) ? table[code] : undefined
}

function reasonIn(table: Readonly<Record<string, Explanation>>, error: unknown): string {
  const code = systemErrorCode(error)
  return (
    explanationIn(table, error)?.reason ??
    (code === undefined ? 'unknown error' : `system error ${code}`)
  )
}
