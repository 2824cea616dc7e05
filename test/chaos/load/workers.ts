/** Workers that fetch proxies from certcaches, and programs that read the files that certcaches write. */
import { readFileSync, statSync } from 'node:fs'
import { CERTCACHE_LIFETIME_SECONDS, type Certcache } from '../certcaches.ts'
import { send } from '../http.ts'
import { type Expected, type LoadContext, noteServed, pause, repeat } from './client.ts'

const expectedFrom = ({ installation, sub }: Certcache, way: string): Expected => ({
  installation,
  way,
  sub,
  lifetimeSeconds: CERTCACHE_LIFETIME_SECONDS,
})

/** `GET /get_proxy` again and again. */
export async function worker(context: LoadContext, certcache: Certcache): Promise<void> {
  const expected = expectedFrom(certcache, 'certcache')
  await repeat(context, 300, async () => {
    const answer = await send(certcache.target, '/get_proxy')
    if (answer.status === 200) noteServed(context, expected, answer.body)
    return answer
  })
}

/** Reads the file while it is replaced: each time it must be whole, and private. */
export async function fileReader(context: LoadContext, certcache: Certcache): Promise<void> {
  const { evidence, over } = context
  const { proxyFile: path } = certcache
  const expected = expectedFrom(certcache, 'file of certcache')
  while (!over.aborted) {
    const mode = statSync(path).mode & 0o777
    try {
      noteServed(context, expected, readFileSync(path, 'utf8'))
      if ((mode & 0o077) !== 0) evidence.files.push({ path, mode, problem: undefined })
    } catch (error) {
      evidence.files.push({ path, mode, problem: `it was read as ${String(error)}` })
    }
    await pause(50, over)
  }
}
