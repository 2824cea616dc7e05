/** Another user of the machine, who swaps names in a directory as fast as they can while root works in it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A user who is nobody else on this machine. */
export const ATTACKER_UID = 61_001
/** In the base system of Debian; fast, and every user can run it, which is not so for each Node. */
const PERL = '/usr/bin/perl'

/** Why such tests cannot run here; undefined: they can. */
export const noAttacker: string | undefined =
  process.getuid?.() !== 0
    ? 'only root can run programs as another user'
    : existsSync(PERL)
      ? undefined
      : `there is no ${PERL}`

export interface Scene {
  /** A directory that belongs to the attacker. */
  readonly home: string
  /** Root's directory, mode 0700, with one file, 0600. */
  readonly victim: string
  /** What another user must not be able to change about it. */
  victimState(): Promise<unknown>
}

export async function attackScene(): Promise<Scene> {
  const base = await mkdtemp(join(tmpdir(), 'tts-attack-'))
  onTestFinished(() => rm(base, { recursive: true, force: true }))
  await chmod(base, 0o711)
  const [home, victim] = [join(base, 'home'), join(base, 'victim')]
  await mkdir(home, { mode: 0o755 })
  await chown(home, ATTACKER_UID, ATTACKER_UID)
  await mkdir(victim, { mode: 0o700 })
  await writeFile(join(victim, 'secret'), 'of root', { mode: 0o600 })
  const entryState = async (path: string): Promise<object> => {
    const { uid, gid, mode } = await lstat(path)
    return { uid, gid, mode: mode.toString(8) }
  }
  return {
    home,
    victim,
    victimState: async () => ({
      directory: await entryState(victim),
      names: await readdir(victim),
      file: await entryState(join(victim, 'secret')),
      content: await readFile(join(victim, 'secret'), 'utf8'),
    }),
  }
}

/**
 * Repeats a piece of Perl as the attacker until the test has finished, or for two minutes. In it `$n` counts, and
 * `@ARGV` has the words.
 */
export async function startAttack(
  perl: string,
  words: readonly string[],
): Promise<{ stop(): Promise<void> }> {
  const script = `$SIG{ALRM} = sub { exit }; alarm 120; $| = 1; my $n = 0; print "ready\\n"; while (1) { $n++; ${perl} }`
  const child = spawn(PERL, ['-e', script, ...words], {
    uid: ATTACKER_UID,
    gid: ATTACKER_UID,
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => endOf(child))
  await once(child.stdout, 'data')
  return { stop: async () => endOf(child) }
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
