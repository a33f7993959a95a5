// How is the client called: with which environment, and what becomes of a signal?
'use strict'

const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Failure, input, mask, print, saveState, state, variableOf } = require('./github.js')
const { handedOver, startAgain } = require('./again.js')
const { find } = require('./fetch.js')

// What an input becomes for the client. The others are flags of `run` and `elevate`.
const VARIABLES = {
  url: 'CLOUDANIX_URL',
  'agent-id': 'CLOUDANIX_AGENT_ID',
  'auth-token': 'CLOUDANIX_AUTH_TOKEN',
  audience: 'CLOUDANIX_AUDIENCE',
  'ca-file': 'CLOUDANIX_CA_FILE',
  version: 'CLOUDANIX_JIT_VERSION',
  sha256: 'CLOUDANIX_JIT_SHA256',
  mirror: 'CLOUDANIX_JIT_MIRROR',
  binary: 'CLOUDANIX_JIT_BINARY',
}
const FILES = ['ca-file', 'binary']
// More than all that the client says without a command.
const REMEMBERED = 64 * 1024

/** The client, ready to be called, and a folder of this step's own. Masks the auth token before all else. */
function prepare() {
  const handed = handedOver()
  if (handed) return { ...handed, env: environment(), isAgain: true }
  const env = environment()
  mask(env.CLOUDANIX_AUTH_TOKEN ?? '')
  const temp = process.env.RUNNER_TEMP
  if (!temp) throw new Failure('`RUNNER_TEMP` is not set', 'this is for a step of GitHub Actions')
  const folder = fs.mkdtempSync(path.join(temp, 'cloudanix-jit-step-'))
  // Before anything is asked for: whatever happens from here on, `post` knows where to look.
  saveState('folder', folder)
  const program = find(env, folder)
  saveState('program', program)
  return { env, folder, program }
}

/** The same, from what the main half has saved; nothing when it asked for nothing. */
function resume() {
  const folder = state('folder')
  const program = state('program')
  if (!folder || !program || !fs.existsSync(folder)) return null
  const env = environment()
  mask(env.CLOUDANIX_AUTH_TOKEN ?? '')
  return { env, folder, program }
}

function environment() {
  const env = { ...process.env }
  // An input goes before what the job has set.
  if (input('auth-token')) delete env.CLOUDANIX_AUTH_TOKEN_FILE
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = input(name)
    if (value) env[variable] = FILES.includes(name) ? path.resolve(value) : value
    // The command that is run gets what is left, and the auth token is none of its business.
    delete env[variableOf(name)]
  }
  return env
}

/** From here on no process that others can look into has a secret in its environment, where that can be had. */
function hideSecrets(client) {
  if (!client.isAgain) startAgain(client.folder, client.program)
}

/** Where the client keeps the handle, before it asks the broker, and what became of it. */
function stateFile(client) {
  return path.join(client.folder, 'state.json')
}

/** What stands there: `grant_id`, `expires_at` and, of a `run` that is over, `end`. */
function stateOf(client) {
  try {
    return JSON.parse(fs.readFileSync(stateFile(client), 'utf8'))
  } catch {
    return {}
  }
}

/**
 * Calls the client and waits for its end. With `stderr: 'heard'` what it says for people is passed on and
 * remembered; else it has the runner's own, so that its lines and those of a command keep their order.
 */
async function call(client, args, { cwd, stderr = 'inherited' } = {}) {
  if (cwd && !fs.existsSync(cwd)) {
    throw new Failure(`the folder \`${cwd}\` does not exist`, 'correct the input `working-directory`')
  }
  const result = { interrupted: false, said: '' }
  let child
  // The runner tells this process alone. On Windows everybody on the console is told, the client as well, and
  // a signal that Node sends there would be a kill. Handlers run when this function waits: by then there is a child.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']) {
    process.on(signal, () => {
      result.interrupted = true
      if (process.platform !== 'win32') child.kill(signal)
    })
  }
  const heard = stderr === 'heard'
  child = spawn(client.program, args, { cwd, env: client.env, stdio: ['inherit', 'inherit', heard ? 'pipe' : 'inherit'] })
  const decoder = new TextDecoder()
  child.stderr?.on('data', (chunk) => {
    print(2, chunk)
    if (result.said.length < REMEMBERED) result.said += decoder.decode(chunk, { stream: true })
  })
  const closed = heard && once(child, 'close').catch(() => {})
  const [code, signal] = await once(child, 'exit').catch((error) => {
    throw new Failure(`\`${client.program}\` cannot be started: ${error.message}`)
  })
  await closed
  result.code = signal ? 128 + os.constants.signals[signal] : code
  return result
}

/** Why the client has started no command, as one line: what happened, what to do, and the broker's name for it. */
function problemOf({ message, hint, code }) {
  return [message, hint && `hint: ${hint}`, code && `code: ${code}`].filter(Boolean).join(' — ')
}

/** The same, of a client that was heard. */
function complaint(said) {
  const lines = said.split(/\r?\n/)
  const at = lines.findLastIndex((line) => /^[✗!] /.test(line))
  if (at < 0) return ''
  const rest = lines.slice(at + 1)
  const end = rest.findIndex((line) => !/^ {2}(hint|code): /.test(line))
  const more = (end < 0 ? rest : rest.slice(0, end)).map((line) => line.trim())
  return [lines[at].replace(/^[✗!] \S+ +/, ''), ...more].join(' — ')
}

/** A question to the broker whose answer nothing depends on; empty when there is none in time. */
function ask(client, args, timeout) {
  const answer = spawnSync(client.program, args, {
    env: client.env, encoding: 'utf8', timeout, stdio: ['ignore', 'pipe', 'ignore'],
  })
  return answer.status === 0 ? answer.stdout : ''
}

module.exports = { ask, call, complaint, hideSecrets, prepare, problemOf, resume, stateFile, stateOf }
