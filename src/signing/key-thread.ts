/** The code of a thread that makes private keys; `key-threads.ts` is the other end. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import type { KeyKind } from '../../ca/key.ts'

/** Kinds of keys that take a core long enough to need a thread. */
export type RsaKeyKind = Extract<KeyKind, `rsa-${string}`>

/** The answer to the name of a kind: the key, or why there is none. */
export type KeyAnswer = { readonly key: KeyObject } | { readonly problem: string }

/** Of 19. While signatures need all of a core, the thread gets a tenth of it: nobody waits for a key for ever. */
const NICE = 10

/** On Linux 0 means the calling thread (setpriority(2), "C library/kernel differences"), elsewhere the process. */
function yieldToSignatures(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, NICE)
  } catch {
    // A system call filter may forbid it. Keys are then made with the priority of signatures.
  }
}
yieldToSignatures()

function make(kind: RsaKeyKind): KeyObject {
  const modulusLength = Number(kind.slice('rsa-'.length))
  return generateKeyPairSync('rsa', { modulusLength, publicExponent: 0x10001 }).privateKey
}

parentPort?.on('message', (kind: RsaKeyKind) => {
  let answer: KeyAnswer
  try {
    answer = { key: make(kind) }
  } catch (error) {
    answer = { problem: error instanceof Error ? error.message : String(error) }
  }
  parentPort?.postMessage(answer)
})
