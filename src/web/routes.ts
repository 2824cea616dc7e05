/** The routes of the web pages. */
import { type RequestHandler, Router } from 'express'
import { routeName } from '../api/request.ts'
import { assetRoutes } from './html/assets.ts'
import { showAudit } from './pages/audit-page.ts'
import { confirmBan, submitBan, submitLift } from './pages/ban-pages.ts'
import { confirmRevocation, revokeOwn, showCredentials } from './pages/credentials-pages.ts'
import { confirmEnd, endOwn, createOwn, showDelegations } from './pages/delegations-pages.ts'
import { errorPages } from './pages/error-page.ts'
import { logOut, showLogin, startLogin } from './login/pages.ts'
import { RELYING_PATH } from './login/state.ts'
import { arrive, finishAnyLogin, logInForSite, runRequest, showRequest } from './relying/pages.ts'
import { oidcForm, showOidcEntry } from './oidc-entry.ts'
import { download } from './pages/result-page.ts'
import { pageHeaders } from './sessions/security.ts'
import { submitRequest, showService, showServices } from './pages/services-pages.ts'
import { showCode } from './pages/myproxy-page.ts'
import { isLoopbackUrl, ownPath } from './site.ts'
import { showStart } from './pages/start-page.ts'
import { showAccessToken } from './pages/token-page.ts'
import { personalPage, postedForm, publicPage, type Web } from './view.ts'

/** Paths of the pages with their methods; `/` is a page unless the client prefers JSON. */
export const webMethods: readonly (readonly [RegExp, string])[] = [
  [/^\/$/, 'GET, HEAD'],
  [/^\/(login(\/(start|callback))?|services|credentials|audit)\/?$/, 'GET, HEAD'],
  [/^\/(assets\/[\w.-]+|favicon\.ico)$/, 'GET, HEAD'],
  [/^\/(services\/[^/]+|delegations|oidc)\/?$/, 'GET, HEAD, POST'],
  [/^\/(credentials|delegations)\/[^/]+\/revoke\/?$/, 'GET, HEAD, POST'],
  [/^\/audit\/ban\/?$/, 'GET, HEAD, POST'],
  [/^\/(audit\/lift|logout|download|access-token|myproxy-code|rsp\/download)\/?$/, 'POST'],
  // No HEAD, because a signed request can be used only once.
  [/^\/rsp\/request\/?$/i, 'GET, POST'],
  [/^\/rsp\/[^/]+\/?$/i, 'GET'],
]

/**
 * Redirects to the host name of the public URL: cookies and the redirect URI work under one host name only, and
 * `localhost` and `127.0.0.1` are two.
 */
function redirectToPublicHost(web: Web): RequestHandler {
  return function redirectToPublicHost(request, response, next) {
    const publicUrl = web.publicUrl()
    const origin = `${publicUrl.protocol}//${request.get('host') ?? ''}`
    const requestUrl = URL.canParse(origin) ? new URL(origin) : publicUrl
    const isOther = requestUrl.hostname !== publicUrl.hostname && requestUrl.port === publicUrl.port
    const isPage = webMethods.some(([path]) => path.test(request.path))
    if (
      isOther &&
      isPage &&
      isLoopbackUrl(requestUrl.hostname) &&
      isLoopbackUrl(publicUrl.hostname) &&
      request.method === 'GET'
    )
      response.redirect(307, `${publicUrl.origin}${ownPath(web, request.originalUrl)}`)
    else next()
  }
}

/** The form of a download contains the credential itself, in Base64, and a plugin may print 1 MiB. */
const MAX_DOWNLOAD_BYTES = 2 * 1024 * 1024

export function webRoutes(web: Web): Router {
  const router = Router()
  const get = (path: string, handler: ReturnType<typeof publicPage>): void => {
    router.get(path, routeName(path), pageHeaders, handler)
  }
  const post = (path: string, handler: RequestHandler): void => {
    router.post(path, routeName(path), pageHeaders, handler)
  }
  router.use(assetRoutes())
  router.use(redirectToPublicHost(web))
  router.get('/', (request, _response, next) => {
    // Monitoring and curl accept any type, and get the page, as from WaTTS.
    if (request.accepts(['text/html', 'application/json']) === 'text/html') next()
    else next('router')
  })
  get('/', publicPage(web, showStart))
  get('/login', publicPage(web, showLogin))
  get('/login/start', publicPage(web, startLogin))
  get('/login/callback', publicPage(web, finishAnyLogin))
  get('/oidc', publicPage(web, showOidcEntry))
  post('/oidc', oidcForm(web))
  post('/logout', postedForm(web, logOut))
  get('/services', personalPage(web, showServices))
  get('/services/:id', personalPage(web, showService))
  post('/services/:id', postedForm(web, submitRequest))
  post('/access-token', postedForm(web, showAccessToken))
  post('/myproxy-code', postedForm(web, showCode))
  post('/download', postedForm(web, download, MAX_DOWNLOAD_BYTES))
  get('/credentials', personalPage(web, showCredentials))
  get('/credentials/:id/revoke', personalPage(web, confirmRevocation))
  post('/credentials/:id/revoke', postedForm(web, revokeOwn))
  get('/delegations', personalPage(web, showDelegations))
  post('/delegations', postedForm(web, createOwn))
  get('/delegations/:id/revoke', personalPage(web, confirmEnd))
  post('/delegations/:id/revoke', postedForm(web, endOwn))
  get('/audit', personalPage(web, showAudit))
  get('/audit/ban', personalPage(web, confirmBan))
  post('/audit/ban', postedForm(web, submitBan))
  post('/audit/lift', postedForm(web, submitLift))
  addRelyingRoutes(router, web)
  router.use(errorPages(web))
  return router
}

/** Adds the routes for users sent by relying services, who have separate sessions. */
function addRelyingRoutes(router: Router, web: Web): void {
  const visits = { ...web, sessions: web.relyingSessions }
  const get = (path: string, show: Parameters<typeof publicPage>[1]): void => {
    const onlyGet: RequestHandler = (request, _response, next) =>
      next(request.method === 'GET' ? undefined : 'router')
    router.get(path, onlyGet, routeName(path), pageHeaders, publicPage(visits, show))
  }
  get(RELYING_PATH, showRequest)
  get('/rsp/login', logInForSite)
  router.post(RELYING_PATH, routeName(RELYING_PATH), pageHeaders, postedForm(visits, runRequest))
  router.post(
    '/rsp/download',
    routeName('/rsp/download'),
    pageHeaders,
    postedForm(visits, download, MAX_DOWNLOAD_BYTES),
  )
  if (web.relying.sites.size > 0) get('/rsp/:jwt', arrive)
}
