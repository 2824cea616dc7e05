/** `tts delegation …`: lists, shows and revokes delegations directly in the database. */
import { Command, InvalidArgumentError } from 'commander'
import { presentDelegation, presentEvent } from '../api/delegations.ts'
import type { Core } from '../service/compose.ts'
import { delegationBounds, delegationProviders } from '../service/compose-delegations.ts'
import { type DelegationRevocation, revokeDelegation } from '../domain/delegations/access.ts'
import { adviceFor } from '../domain/delegations/forecast.ts'
import {
  type Delegation,
  type DelegationEvent,
  type DelegationState,
  delegationStates,
} from '../domain/delegations/records.ts'
import { cliOrigin } from '../domain/operator-audit.ts'
import { TtsError } from '../base/errors.ts'
import { createTokenVerifier } from '../tokens/verify-token.ts'
import { duration, pageSize } from './duration.ts'
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
  readonly endsWithin?: number
  readonly limit?: number
  readonly after?: string
}

export function delegationCommand(terminal: Terminal): Command {
  const command = new Command('delegation').description(
    'list, show and revoke delegations, which renew proxies without the user',
  )

  command
    .command('list')
    .description('list the newest delegations')
    .option('--state <STATE>', `only in this state: ${delegationStates.join(', ')}`, readState)
    .option('--ends-within <DURATION>', 'only active ones that end within this time: 3d', duration)
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .option('--after <ID>', 'continue after this delegation')
    .action((_options, self: Command) => list(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .argument('<id>', 'id of the delegation, from `tts delegation list`')
    .description('show everything that is recorded about a delegation, with forecast and events')
    .action((id: string, _options, self: Command) => show(terminal, self.optsWithGlobals(), id))

  command
    .command('revoke')
    .argument('<id>', 'id of the delegation')
    .description('revoke a delegation, here and at the provider; its proxies stay valid')
    .action((id: string, _options, self: Command) => revoke(terminal, self.optsWithGlobals(), id))

  return command.addHelpText(
    'after',
    `
Examples:
  tts delegation list --state active
  tts delegation list --ends-within 3d
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
    const now = core.now()
    const { endsWithin } = options
    const until = endsWithin && new Date(now.getTime() + endsWithin * 1000)
    const delegations = await core.store.delegations.list({
      ...(options.state === undefined ? {} : { state: options.state }),
      ...(until && { ends: { after: now, until } }),
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(options.after === undefined ? {} : { after: options.after }),
    })
    if (options.json) {
      const presented = delegations.map((delegation) =>
        presentDelegation(delegation, presentation(core)),
      )
      terminal.out(`${JSON.stringify(presented, null, 2)}\n`)
      return
    }
    for (const delegation of delegations) terminal.out(line(delegation, now))
    if (delegations.length === 0) terminal.note('There are no delegations.')
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
      const presented = {
        ...presentDelegation(delegation, presentation(core)),
        events: events.map(presentEvent),
      }
      terminal.out(`${JSON.stringify(presented, null, 2)}\n`)
      return
    }
    terminal.out(describe(core, delegation))
    terminal.out(events.map(eventLine).join(''))
  })
}

function describe(core: Core, delegation: Delegation): string {
  const { identity, origin, state } = delegation
  const { bounds, now } = presentation(core)
  return facts([
    ['id', delegation.id],
    ['state', state],
    ['label', delegation.label === undefined ? '-' : JSON.stringify(delegation.label)],
    ['subject', identity.subject],
    ['issuer of the token', identity.issuer],
    ['sub', JSON.stringify(identity.sub)],
    ['provider', delegation.providerId],
    ['client of the token', delegation.clientId ?? 'unknown'],
    ['created', `${delegation.createdAt.toISOString()} from ${origin.address}`],
    ['last used', delegation.lastUsedAt?.toISOString() ?? 'never'],
    state === 'active'
      ? [
          'renews until',
          `${delegation.renewsUntil.toISOString()}  (${timeLeft(delegation.renewsUntil, now())})`,
        ]
      : ['ended', delegation.endedAt?.toISOString() ?? 'unknown'],
    ['what to do', adviceFor(delegation, bounds, now())],
  ])
}

function eventLine({ at, event, outcome, origin, detail }: DelegationEvent): string {
  const what = outcome === 'refused' ? 'refused' : event
  return `  ${at.toISOString()}  ${what.padEnd(8)}  ${origin.address} (${origin.interface})${detail === undefined ? '' : `  ${detail}`}\n`
}

async function revoke(terminal: Terminal, options: OperatorOptions, id: string): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const delegation = await requireDelegation(core, id)
    const reason = 'revoked by the operator'
    const { newlyRevoked, providerTold } = await revokeDelegationHere(core, delegation, {
      reason,
      terminal,
    })
    if (options.json) {
      const answer = { id, newly_revoked: newlyRevoked, provider_told: providerTold }
      terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
    } else terminal.note(outcome(newlyRevoked, providerTold))
  })
}

/** Revokes a delegation from the command line, here and at its provider. */
export async function revokeDelegationHere(
  core: Core,
  delegation: Delegation,
  { reason, terminal }: { readonly reason: string; readonly terminal: Terminal },
): Promise<DelegationRevocation> {
  const { providerId } = delegation
  const settings = core.loaded.configuration.providers[providerId]
  const log = quietLog(terminal)
  const verifier = createTokenVerifier({
    providers: settings === undefined ? {} : { [providerId]: settings },
    now: core.now,
    log,
  })
  try {
    const providers = delegationProviders(verifier.providers, { now: core.now })
    return await revokeDelegation({ ...core, providers, log }, delegation, {
      origin: cliOrigin,
      reason,
    })
  } finally {
    await verifier.close()
  }
}

function outcome(newlyRevoked: boolean, providerTold: boolean): string {
  if (!newlyRevoked) return 'The delegation had already ended; nothing was changed.'
  const provider = providerTold
    ? 'The provider was notified too.'
    : 'The provider could not be notified; the refresh token is deleted here, and expires at the provider by itself.'
  return `Revoked: the delegation can no longer renew proxies. ${provider} Its proxies stay valid until they expire; revoke them with \`tts credential revoke\`.`
}

async function requireDelegation({ store }: Core, id: string): Promise<Delegation> {
  const delegation = await store.delegations.find(id)
  if (delegation !== undefined) return delegation
  throw new TtsError(
    'not_found',
    `the delegation ${id} does not exist; see \`tts delegation list\``,
  )
}

function presentation(core: Core) {
  return { bounds: delegationBounds(core.loaded.configuration), now: core.now }
}
