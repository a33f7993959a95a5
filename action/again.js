// How is it that no process shows a secret in its environment while the command runs?
//
// The environment that a process was started with can be read by every process of the same user
// (`/proc/PID/environ`), and deleting a variable later changes nothing there. So this process starts itself again
// in its own place, with the same pid, so that the runner's signals arrive, and hands the secrets over in a file
// that is gone before the client is started. The client closes its own environment.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { variableOf } = require('./github.js')

const HANDED = 'CLOUDANIX_ACTION_HANDED'
const SECRETS = [
  'ACTIONS_ID_TOKEN_REQUEST_TOKEN',
  'ACTIONS_ID_TOKEN_REQUEST_URL',
  'ACTIONS_RUNTIME_TOKEN',
  'CLOUDANIX_AUTH_TOKEN',
  'CLOUDANIX_AUTH_TOKEN_FILE',
  'CLOUDANIX_ID_TOKEN',
  'CLOUDANIX_OIDC_TOKEN',
  'CLOUDANIX_OIDC_TOKEN_FILE',
  'CLOUDANIX_OPERATOR_TOKEN',
  variableOf('auth-token'),
]

/** Starts this script again without the secrets; returns only where the platform or its Node cannot. */
function startAgain(folder, program) {
  // Node 22.15 and later have it, and not on Windows.
  if (process.platform === 'win32' || typeof process.execve !== 'function') return
  const file = path.join(folder, 'handed')
  const secrets = Object.entries(process.env).filter(([name]) => SECRETS.includes(name))
  const others = Object.entries(process.env).filter(([name]) => !SECRETS.includes(name))
  const handed = JSON.stringify({ folder, program, secrets: Object.fromEntries(secrets) })
  fs.writeFileSync(file, handed, { flag: 'wx', mode: 0o600 })
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve(process.execPath, again, { ...Object.fromEntries(others), [HANDED]: file })
}

/** What the process before this one has handed over; null in the first. */
function handedOver() {
  const file = process.env[HANDED]
  if (!file) return null
  delete process.env[HANDED]
  const { folder, program, secrets } = JSON.parse(fs.readFileSync(file, 'utf8'))
  fs.rmSync(file)
  // What is set now is not in the environment that others can read.
  Object.assign(process.env, secrets)
  return { folder, program }
}

module.exports = { handedOver, startAgain }
