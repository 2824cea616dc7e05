/** The web page: which address shows what. */
import { type RequestHandler, Router } from 'express'
import { assetRoutes } from './html/assets.ts'
import { showAudit } from './pages/audit-page.ts'
import { confirmRevocation, revokeOwn, showCredentials } from './pages/credentials-pages.ts'
import { confirmEnd, endOwn, makeOwn, showDelegations } from './pages/delegations-pages.ts'
import { errorPages } from './pages/error-page.ts'
import { logOut, showLogin, startLogin } from './login/pages.ts'
import { RELYING_PATH } from './login/state.ts'
import { arrive, finishAnyLogin, logInForSite, runRequest, showRequest } from './relying/pages.ts'
import { download } from './pages/result-page.ts'
import { pageHeaders } from './sessions/security.ts'
import { submitRequest, showService, showServices } from './pages/services-pages.ts'
import { isLoopbackUrl, ownPath } from './site.ts'
import { showStart } from './pages/start-page.ts'
import { named, personalPage, postedForm, publicPage, type Web } from './view.ts'

/** Addresses of pages and the methods that they take; `/` is one for browsers alone. */
export const webMethods: readonly (readonly [RegExp, string])[] = [
  [/^\/$/, 'GET, HEAD'],
  [/^\/(login(\/(start|callback))?|services|credentials|audit)\/?$/, 'GET, HEAD'],
  [/^\/assets\/[\w.-]+$/, 'GET, HEAD'],
  [/^\/(services\/[^/]+|delegations)\/?$/, 'GET, HEAD, POST'],
  [/^\/(credentials|delegations)\/[^/]+\/revoke\/?$/, 'GET, HEAD, POST'],
  [/^\/(logout|download|rsp\/download)\/?$/, 'POST'],
  // No HEAD: a signed request is good for once.
  [/^\/rsp\/request\/?$/i, 'GET, POST'],
  [/^\/rsp\/[^/]+\/?$/i, 'GET'],
]

/** Cookies and the way back from a provider are of one host name: `localhost` and `127.0.0.1` are two. */
function oneHostName(web: Web): RequestHandler {
  return function oneHostName(request, response, next) {
    const wanted = web.publicUrl()
    const origin = `${wanted.protocol}//${request.get('host') ?? ''}`
    const found = URL.canParse(origin) ? new URL(origin) : wanted
    const isOther = found.hostname !== wanted.hostname && found.port === wanted.port
    const isPage = webMethods.some(([path]) => path.test(request.path))
    if (
      isOther &&
      isPage &&
      isLoopbackUrl(found.hostname) &&
      isLoopbackUrl(wanted.hostname) &&
      request.method === 'GET'
    )
      response.redirect(307, `${wanted.origin}${ownPath(web, request.originalUrl)}`)
    else next()
  }
}

/** A credential that is downloaded comes from its page and goes back to it; plugins may print a MiB. */
const MAX_DOWNLOAD_BYTES = 2 * 1024 * 1024

export function webRoutes(web: Web): Router {
  const router = Router()
  const get = (path: string, handler: ReturnType<typeof publicPage>): void => {
    router.get(path, named(path), pageHeaders, handler)
  }
  const post = (path: string, handler: RequestHandler): void => {
    router.post(path, named(path), pageHeaders, handler)
  }
  router.use(assetRoutes())
  router.use(oneHostName(web))
  router.get('/', (request, _response, next) => {
    // Clients of the API that ask for anything find what they always found here.
    if (request.accepts(['application/json', 'text/html']) === 'text/html') next()
    else next('router')
  })
  get('/', publicPage(web, showStart))
  get('/login', publicPage(web, showLogin))
  get('/login/start', publicPage(web, startLogin))
  get('/login/callback', publicPage(web, finishAnyLogin))
  post('/logout', postedForm(web, logOut))
  get('/services', personalPage(web, showServices))
  get('/services/:id', personalPage(web, showService))
  post('/services/:id', postedForm(web, submitRequest))
  post('/download', postedForm(web, download, MAX_DOWNLOAD_BYTES))
  get('/credentials', personalPage(web, showCredentials))
  get('/credentials/:id/revoke', personalPage(web, confirmRevocation))
  post('/credentials/:id/revoke', postedForm(web, revokeOwn))
  get('/delegations', personalPage(web, showDelegations))
  post('/delegations', postedForm(web, makeOwn))
  get('/delegations/:id/revoke', personalPage(web, confirmEnd))
  post('/delegations/:id/revoke', postedForm(web, endOwn))
  get('/audit', personalPage(web, showAudit))
  addRelyingRoutes(router, web)
  router.use(errorPages(web))
  return router
}

/** Users whom relying services send, with sessions of their own. */
function addRelyingRoutes(router: Router, web: Web): void {
  const visits = { ...web, sessions: web.relyingSessions }
  const get = (path: string, show: Parameters<typeof publicPage>[1]): void => {
    const onlyGet: RequestHandler = (request, _response, next) =>
      next(request.method === 'GET' ? undefined : 'router')
    router.get(path, onlyGet, named(path), pageHeaders, publicPage(visits, show))
  }
  get(RELYING_PATH, showRequest)
  get('/rsp/login', logInForSite)
  router.post(RELYING_PATH, named(RELYING_PATH), pageHeaders, postedForm(visits, runRequest))
  router.post(
    '/rsp/download',
    named('/rsp/download'),
    pageHeaders,
    postedForm(visits, download, MAX_DOWNLOAD_BYTES),
  )
  if (web.relying.sites.size > 0) get('/rsp/:jwt', arrive)
}
