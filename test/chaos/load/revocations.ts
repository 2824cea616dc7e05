/** Clients that revoke what they have just got, and an operator who bans identities. */
import { join } from 'node:path'
import { programPath, runToEnd } from '../../support/programs.ts'
import { countAnswer, type Installation } from '../evidence.ts'
import { type LoadContext, pause, repeat, sendTo } from './client.ts'
import { askForProxy, goodToken } from './proxies.ts'

/** Each credential is of a new identity: revoking ends its EEC. */
export async function revokingClient(
  context: LoadContext,
  installation: Installation,
  number: number,
): Promise<void> {
  const { evidence } = context
  await repeat(context, 1000, async (turn) => {
    const sub = `revoking-${number}-${turn}`
    const { answer, issued } = await askForProxy(context, installation, sub)
    if (issued === undefined) return answer
    const token = goodToken(context, sub)
    const path = `/v1/credentials/${issued.id}`
    const revocation = await sendTo(context, installation, { path, method: 'DELETE', token })
    if (revocation.status === 200)
      evidence.revoked.push({ installation, serial: issued.end_entity_serial, at: Date.now() })
    // The next one must be from another EEC.
    await askForProxy(context, installation, sub)
    return revocation
  })
}

/** `tts ban add` on the machine of a replica; the banned identity goes on asking. */
export async function banningOperator(context: LoadContext): Promise<void> {
  const { evidence, over, system } = context
  const { issuer } = system.watched.provider
  for (let turn = 0; !over.aborted; turn += 1) {
    const sub = `banned-${turn}`
    const before = await askForProxy(context, 'replicas', sub).catch(() => undefined)
    const words = ['ban', 'add', '--config', system.operatorConfig, '--sub', sub]
    const { code } = await runToEnd(
      programPath('src/cli/main.ts'),
      [...words, '--issuer', issuer, '--reason', 'chaos'],
      { output: join(system.machine.logs, 'operator.log') },
    )
    countAnswer(evidence, `tts ban: ${code}`)
    if (code === 0) {
      const refusal = { installation: 'replicas', sub, why: 'the identity is banned' } as const
      evidence.refusals.push({ ...refusal, from: Date.now(), until: Infinity })
      const serial = before?.issued?.end_entity_serial
      if (serial !== undefined)
        evidence.revoked.push({ installation: 'replicas', serial, at: Date.now() })
    }
    for (let again = 0; again < 30 && !over.aborted; again += 1) {
      await askForProxy(context, 'replicas', sub).catch(() => undefined)
      await pause(500, over)
    }
  }
}
