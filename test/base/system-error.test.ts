import { constants } from 'node:os'
import { describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import {
  fileErrorReason,
  fileErrorRemedy,
  isMachineFault,
  listenError,
  systemErrorCode,
} from '../../src/base/system-error.ts'
import { exitCodeOf, exitCodes } from '../../src/cli/exit-codes.ts'

const systemError = (code: string): Error => Object.assign(new Error(code), { code })

describe('reasons', () => {
  test.for([
    ['EACCES', 'permission denied'],
    ['EPERM', 'the system does not permit it'],
    ['ENOENT', 'the file or its directory does not exist'],
    ['ENOTDIR', 'a part of the path is not a directory'],
    ['EISDIR', 'it is a directory'],
    ['ELOOP', 'the symbolic links of the path form a loop, or are too many'],
    ['ENAMETOOLONG', 'the path is too long'],
    ['ENOSPC', 'the disk is full'],
    ['EDQUOT', 'the disk quota is exhausted'],
    ['EROFS', 'the file system is read-only'],
    ['EIO', 'the disk reports an input/output error'],
    ['EMFILE', 'this process has too many open files'],
    ['ENFILE', 'the system has too many open files'],
    ['EFBIG', 'it would exceed the file size limit'],
  ] as const)('%s is explained, and has a remedy', ([code, reason]) => {
    const error = systemError(code)
    expect(Object.keys(constants.errno)).toContain(code)
    expect(fileErrorReason(error)).toBe(reason)
    expect(fileErrorRemedy(error)).toMatch(/^[A-Z].*\.$/)
  })

  test('an unknown code is shown, any other error is not', () => {
    expect(fileErrorReason(systemError('EUCLEAN'))).toBe('system error EUCLEAN')
    expect(fileErrorReason(new Error('a secret'))).toBe('unknown error')
    expect(fileErrorReason(systemError('constructor'))).toBe('unknown error')
    expect(fileErrorRemedy(systemError('EUCLEAN'))).toBeUndefined()
    expect(systemErrorCode({ code: 'ERR_TLS_CERT' })).toBeUndefined()
  })
})

test.for([
  ['EADDRINUSE', /another program listens there$/, /ss -lntp/],
  ['EADDRNOTAVAIL', /this machine does not have the address$/, /ip address/],
  ['EACCES', /permission denied$/, /port from 1024/],
] as const)('a program that cannot listen: %s', ([code, message, remedy]) => {
  const error = listenError('127.0.0.1 port 1', systemError(code))
  expect(error).toMatchObject({ code: 'configuration', message: expect.stringMatching(message) })
  expect(error.remedy).toMatch(remedy)
  const other = listenError('127.0.0.1 port 1', systemError(code), { [code]: 'Do something else.' })
  expect(other.remedy).toBe('Do something else.')
})

test.for([
  ['ENOSPC', exitCodes.failed],
  ['EDQUOT', exitCodes.failed],
  ['EIO', exitCodes.failed],
  ['EMFILE', exitCodes.failed],
  ['EACCES', exitCodes.usage],
  ['ENOENT', exitCodes.usage],
] as const)('%s ends a command with %i', ([code, exit]) => {
  const inner = new TtsError('configuration', 'cannot be written', { cause: systemError(code) })
  expect(exitCodeOf(inner)).toBe(exit)
  expect(exitCodeOf(new TtsError('configuration', 'outer', { cause: inner }))).toBe(exit)
  expect(isMachineFault(inner)).toBe(exit === exitCodes.failed)
})
