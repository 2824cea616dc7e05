/** `tts delegation …`: who can renew, until when, and taking it back. For the operator, on the records themselves. */
import { Command, InvalidArgumentError } from 'commander'
import { presentDelegation, presentEvent } from '../api/delegations.ts'
import type { Core } from '../service/compose.ts'
import { delegationBounds, delegationProviders } from '../service/compose-delegations.ts'
import { revokeDelegation } from '../domain/delegations/access.ts'
import { adviceFor } from '../domain/delegations/forecast.ts'
import {
  type Delegation,
  type DelegationEvent,
  type DelegationState,
  delegationStates,
} from '../domain/delegations/records.ts'
import type { Origin } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import { createTokenVerifier } from '../tokens/verify-token.ts'
import { pageSize } from './duration.ts'
import {
  facts,
  type OperatorOptions,
  quietLog,
  type Terminal,
  timeLeft,
  withCore,
} from './terminal.ts'

interface ListOptions extends OperatorOptions {
  readonly state?: DelegationState
  readonly limit?: number
  readonly after?: string
}

export function delegationCommand(terminal: Terminal): Command {
  const command = new Command('delegation').description(
    'who renews with no person present: list, show, revoke',
  )

  command
    .command('list')
    .description('the newest delegations')
    .option('--state <STATE>', `only those that are ${delegationStates.join(', ')}`, readState)
    .option('--limit <N>', 'at most so many (1 to 1000)', pageSize, 50)
    .option('--after <ID>', 'continue after this delegation')
    .action((_options, self: Command) => list(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .argument('<id>', 'id of the delegation, from `tts delegation list`')
    .description('everything on record about one delegation: its forecast and its ledger')
    .action((id: string, _options, self: Command) => show(terminal, self.optsWithGlobals(), id))

  command
    .command('revoke')
    .argument('<id>', 'id of the delegation')
    .description('end a delegation, here and at the provider; proxies that it brought stay valid')
    .action((id: string, _options, self: Command) => revoke(terminal, self.optsWithGlobals(), id))

  return command.addHelpText(
    'after',
    `
Examples:
  tts delegation list --state active
  tts delegation show 0f8fad5b-d9cb-469f-a165-70867728950e
  tts delegation revoke 0f8fad5b-d9cb-469f-a165-70867728950e`,
  )
}

function readState(text: string): DelegationState {
  const state = delegationStates.find((known) => known === text)
  if (state !== undefined) return state
  throw new InvalidArgumentError(`must be one of ${delegationStates.join(', ')}`)
}

async function list(terminal: Terminal, options: ListOptions): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const delegations = await core.store.delegations.list({
      ...(options.state === undefined ? {} : { state: options.state }),
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(options.after === undefined ? {} : { after: options.after }),
    })
    if (options.json) {
      const shown = delegations.map((delegation) => presentDelegation(delegation, around(core)))
      terminal.out(`${JSON.stringify(shown, null, 2)}\n`)
      return
    }
    for (const delegation of delegations) terminal.out(line(delegation, core.now()))
    if (delegations.length === 0) terminal.note('No delegation is on record.')
  })
}

function line(delegation: Delegation, now: Date): string {
  const { id, state, renewsUntil, createdAt, identity, label } = delegation
  const left = state === 'active' ? `renews: ${timeLeft(renewsUntil, now)}` : state
  const when = createdAt.toISOString().slice(0, 19)
  const name = label === undefined ? '' : `  ${JSON.stringify(label)}`
  return `${id}  ${when}Z  ${left.padEnd(32)}  ${identity.subject}${name}\n`
}

async function show(terminal: Terminal, options: OperatorOptions, id: string): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const delegation = await requireDelegation(core, id)
    const events = await core.store.delegations.events(id, 100)
    if (options.json) {
      const shown = {
        ...presentDelegation(delegation, around(core)),
        events: events.map(presentEvent),
      }
      terminal.out(`${JSON.stringify(shown, null, 2)}\n`)
      return
    }
    terminal.out(describe(core, delegation))
    terminal.out(events.map(ledgerLine).join(''))
  })
}

function describe(core: Core, delegation: Delegation): string {
  const { identity, origin, state } = delegation
  const { bounds, now } = around(core)
  return facts([
    ['id', delegation.id],
    ['state', state],
    ['label', delegation.label === undefined ? '-' : JSON.stringify(delegation.label)],
    ['subject', identity.subject],
    ['issuer of the token', identity.issuer],
    ['sub', JSON.stringify(identity.sub)],
    ['provider', delegation.providerId],
    ['client of the token', delegation.clientId ?? 'unknown'],
    ['made', `${delegation.createdAt.toISOString()} from ${origin.address}`],
    ['last used', delegation.lastUsedAt?.toISOString() ?? 'never'],
    state === 'active'
      ? [
          'renews until',
          `${delegation.renewsUntil.toISOString()}  (${timeLeft(delegation.renewsUntil, now())})`,
        ]
      : ['over since', delegation.endedAt?.toISOString() ?? 'unknown'],
    ['what to do', adviceFor(delegation, bounds, now())],
  ])
}

function ledgerLine({ at, event, outcome, origin, detail }: DelegationEvent): string {
  const what = outcome === 'refused' ? 'refused' : event
  return `  ${at.toISOString()}  ${what.padEnd(8)}  ${origin.address} (${origin.interface})${detail === undefined ? '' : `  ${detail}`}\n`
}

async function revoke(terminal: Terminal, options: OperatorOptions, id: string): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const delegation = await requireDelegation(core, id)
    const origin: Origin = { requestId: 'cli', address: 'local', interface: 'cli' }
    const { configuration } = core.loaded
    const { providerId } = delegation
    const settings = configuration.providers[providerId]
    const verifier = createTokenVerifier({
      providers: settings === undefined ? {} : { [providerId]: settings },
      now: core.now,
      log: quietLog(terminal),
    })
    try {
      const { newlyRevoked, providerTold } = await revokeDelegation(
        {
          ...core,
          providers: delegationProviders(verifier.providers, { now: core.now }),
          log: quietLog(terminal),
        },
        delegation,
        { origin, reason: 'revoked by the operator' },
      )
      if (options.json) {
        const answer = { id, newly_revoked: newlyRevoked, provider_told: providerTold }
        terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
      } else terminal.note(outcome(newlyRevoked, providerTold))
    } finally {
      verifier.close()
    }
  })
}

function outcome(newlyRevoked: boolean, providerTold: boolean): string {
  if (!newlyRevoked) return 'It was over before; nothing was changed.'
  const provider = providerTold
    ? 'the provider was told, too'
    : 'the provider could not be told; the refresh token, which is forgotten here, ends there by itself'
  return `Revoked: nothing is renewed with it any more; ${provider}. Proxies that it brought end by themselves, or with \`tts credential revoke\`.`
}

async function requireDelegation({ store }: Core, id: string): Promise<Delegation> {
  const delegation = await store.delegations.find(id)
  if (delegation !== undefined) return delegation
  throw new TtsError('not_found', `there is no delegation ${id}; see \`tts delegation list\``)
}

function around(core: Core) {
  return { bounds: delegationBounds(core.loaded.configuration), now: core.now }
}
