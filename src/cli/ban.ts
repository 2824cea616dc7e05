/** `tts ban …`: bans users and groups now, without a restart, and lifts bans. */
import { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import { type BanResult, banUsers, isReason, liftBan, MAX_REASON } from '../domain/bans/ban.ts'
import type { Ban, BanTarget } from '../domain/bans/records.ts'
import { cliOrigin } from '../domain/operator-audit.ts'
import type { Core } from '../service/compose.ts'
import { revokeDelegationHere } from './delegation.ts'
import { noCrl, revokeHere } from './revoke.ts'
import { type OperatorOptions, type Terminal, withCore } from './terminal.ts'

interface AddOptions extends OperatorOptions {
  readonly sub?: string
  readonly issuer?: string
  readonly subject?: string
  readonly credential?: string
  readonly group?: string
  readonly reason: string
}

export function banCommand(terminal: Terminal): Command {
  const command = new Command('ban').description(
    'ban users and groups: nothing is issued to them, what they have is revoked',
  )
  command
    .command('add')
    .description(
      'ban a user or a group now, on all replicas: refuse, revoke what is out, end delegations',
    )
    .option('--sub <SUB>', 'the user with this `sub` at the provider --issuer')
    .option('--issuer <URL>', 'the provider of --sub, or of --group (default: every provider)')
    .option('--subject <DN>', 'the user with this subject name')
    .option('--credential <ID>', 'the user who has this credential')
    .option('--group <NAME>', 'everybody in this group')
    .requiredOption('--reason <TEXT>', 'why, for the audit trail')
    .addHelpText(
      'after',
      `
A group is the value of the claim groups or wlcg.groups, with or without its leading slash. Members are those who were
in it at their last request, and from now on everybody whose token names it.

Examples:
  tts ban add --credential 0f8fad5b-d9cb-469f-a165-70867728950e --reason 'stolen laptop'
  tts ban add --sub 9e499e0e --issuer https://iam.example.org/ --reason INC-4711
  tts ban add --group cms/pilot --reason 'leaked pilot key'`,
    )
    .action((_options, self: Command) => add(terminal, self.optsWithGlobals()))
  command
    .command('list')
    .description('list the bans, newest first')
    .action((_options, self: Command) => list(terminal, self.optsWithGlobals()))
  command
    .command('lift')
    .argument('<id>', 'id of the ban, from `tts ban list`')
    .description('lift a ban; what was revoked stays revoked')
    .action((id: string, _options, self: Command) => lift(terminal, self.optsWithGlobals(), id))
  return command
}

async function add(terminal: Terminal, options: AddOptions): Promise<void> {
  if (!isReason(options.reason))
    throw new TtsError(
      'invalid_request',
      `--reason must be one line of at most ${MAX_REASON} characters that says why`,
    )
  await withCore(terminal, options, async (core) => {
    const target = await targetOf(core, options)
    const result = await banUsers(
      {
        ...core,
        revokeCredential: async ({ id }, reason) => {
          await revokeHere(core, { id, reason, terminal }, noCrl)
        },
        endDelegation: async (delegation, reason) => {
          await revokeDelegationHere(core, delegation, { reason, terminal })
        },
        publish: async () => {
          await core.crls.current()
        },
      },
      { target, reason: options.reason, createdBy: 'cli', origin: cliOrigin },
    )
    report(terminal, result, options.json === true)
  })
}

function report(terminal: Terminal, result: BanResult, json: boolean): void {
  const { ban, identities, credentials, delegations, failures } = result
  if (json) {
    const answer = { ...present(ban), identities, credentials, delegations, failures }
    terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  } else
    terminal.note(
      `Banned ${describe(ban.target)} (ban ${ban.id}): ${identities} known user(s), ${credentials} credential(s) revoked, ${delegations} delegation(s) ended. Sites get the CRL when fetch-crl runs next.`,
    )
  for (const line of failures) terminal.note(`failed: ${line}`)
  if (failures.length > 0)
    throw new TtsError('conflict', `${failures.length} step(s) failed; the ban holds`, {
      remedy: 'Mend the cause, then run `tts credential revoke ID` or `tts delegation revoke ID`.',
    })
}

/** @throws {TtsError} `invalid_request` (not exactly one target), `not_found` */
async function targetOf(core: Core, options: AddOptions): Promise<BanTarget> {
  const { sub, subject, credential, group } = options
  const issuer = options.issuer?.replace(/\/$/, '')
  const named = [sub, subject, credential, group].filter((text) => text !== undefined)
  if (named.length !== 1 || named.includes(''))
    throw new TtsError('invalid_request', 'name one of --sub, --subject, --credential and --group')
  if (group !== undefined) return { kind: 'group', issuer, group }
  if (sub !== undefined) {
    if (issuer === undefined)
      throw new TtsError(
        'invalid_request',
        '--sub needs --issuer: different providers use the same names',
      )
    return { kind: 'identity', issuer, sub }
  }
  const [found] =
    credential === undefined
      ? await core.store.listCredentials({ subject: subject ?? '', limit: 1 })
      : [await core.store.findCredential(credential)]
  if (found === undefined)
    throw new TtsError(
      'not_found',
      credential === undefined
        ? `nothing was ever issued to ${subject ?? ''}; name the user with --sub and --issuer`
        : `the credential ${credential} does not exist; see \`tts credential list\``,
    )
  return { kind: 'identity', issuer: found.identity.issuer, sub: found.identity.sub }
}

async function list(terminal: Terminal, options: OperatorOptions): Promise<void> {
  await withCore(terminal, options, async ({ store }) => {
    const bans = await store.bans.list()
    if (options.json) terminal.out(`${JSON.stringify(bans.map(present), null, 2)}\n`)
    else for (const ban of bans) terminal.out(lineOf(ban))
    if (bans.length === 0) terminal.note('There are no bans.')
  })
}

async function lift(terminal: Terminal, options: OperatorOptions, id: string): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const ban = await core.store.bans.find(id)
    if (ban === undefined)
      throw new TtsError('not_found', `the ban ${id} does not exist; see \`tts ban list\``)
    const isLifted = await liftBan(core, ban, cliOrigin)
    terminal.note(
      isLifted
        ? `Lifted the ban of ${describe(ban.target)}. What was revoked stays revoked.`
        : `The ban was lifted before; nothing was changed.`,
    )
  })
}

function lineOf({ id, target, reason, createdAt, createdBy, liftedAt }: Ban): string {
  const state =
    liftedAt === undefined ? 'in force' : `lifted ${liftedAt.toISOString().slice(0, 16)}Z`
  return `${id}  ${createdAt.toISOString().slice(0, 19)}Z  ${state.padEnd(24)}  ${describe(target)}  by ${createdBy}: ${reason}\n`
}

function describe(target: BanTarget): string {
  if (target.kind === 'identity') return `${JSON.stringify(target.sub)} of ${target.issuer}`
  return `the group ${target.group} of ${target.issuer ?? 'every provider'}`
}

function present({ id, target, reason, createdAt, createdBy, liftedAt }: Ban) {
  return {
    id,
    ...target,
    reason,
    created_at: createdAt.toISOString(),
    created_by: createdBy,
    lifted_at: liftedAt?.toISOString() ?? null,
  }
}
