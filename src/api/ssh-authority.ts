/**
 * The files for hosts that trust the SSH certificates of this service: the public key of the CA, and the list of
 * revoked certificates.
 */
import { Router, type RequestHandler } from 'express'
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { formatSshPublicKey } from '../../ca/ssh/public-key.ts'
import {
  createKrlSource,
  type KrlDependencies,
  SSH_AUTHORITY_COMMENT,
} from '../domain/issuing/ssh.ts'
import { routeName } from './request.ts'
import { sendTagged, taggedOnce } from './tagged-answer.ts'

export interface SshAuthorityDependencies extends KrlDependencies {
  readonly sshAuthority: SshAuthority
}

/** Returns the routes below /ca/ssh. They must not be served without TLS, because the list is not signed. */
export function sshAuthorityRoutes(dependencies: SshAuthorityDependencies): Router {
  const router = Router()
  router.get('/ca.pub', routeName('/ca/ssh/ca.pub'), sendPublicKey(dependencies))
  router.get('/krl', routeName('/ca/ssh/krl'), sendKrl(dependencies))
  return router
}

function sendPublicKey({ sshAuthority }: SshAuthorityDependencies): RequestHandler {
  const text = formatSshPublicKey(sshAuthority.publicKey, SSH_AUTHORITY_COMMENT)
  return function sendPublicKey(_request, response) {
    response.type('text/plain').send(text)
  }
}

function sendKrl(dependencies: SshAuthorityDependencies): RequestHandler {
  const currentKrl = createKrlSource(dependencies)
  const tagged = taggedOnce((list: Buffer) => list)
  return async function sendKrl(_request, response) {
    const list = tagged(await currentKrl())
    sendTagged(response.type('application/octet-stream'), list)
  }
}
