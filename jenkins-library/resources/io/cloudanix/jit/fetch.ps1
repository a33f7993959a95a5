# Prints the path of a `cloudanix-jit` that may be run; fetches it when it is not there. As fetch.sh, for Windows.
$ErrorActionPreference = 'Stop'

# A release writes both; they are empty in the source. One `<sha256>  <file>` a line, as in SHA256SUMS.
$pinnedVersion = ''
$pinnedSums = ''

function Fail($what, $hint) {
  [Console]::Error.WriteLine("cloudanix-jit: $what")
  [Console]::Error.WriteLine("  hint: $hint")
  exit 125
}

function Get-Sum($program) { (Get-FileHash -Algorithm SHA256 $program).Hash.ToLowerInvariant() }

# With an empty environment: nothing here has been checked yet. Windows starts nothing without SystemRoot.
function Get-Version($program) {
  $start = New-Object Diagnostics.ProcessStartInfo $program, '--version'
  $start.UseShellExecute = $false
  $start.RedirectStandardOutput = $true
  $start.EnvironmentVariables.Clear()
  $start.EnvironmentVariables['SystemRoot'] = $env:SystemRoot
  $process = [Diagnostics.Process]::Start($start)
  $said = $process.StandardOutput.ReadToEnd().Trim()
  $process.WaitForExit()
  $said
}

$version = $pinnedVersion
if ($env:CLOUDANIX_JIT_VERSION) { $version = $env:CLOUDANIX_JIT_VERSION }
$version = $version -replace '^v', ''

$file = 'cloudanix-jit-x86_64-pc-windows-msvc.exe'
$expected = ''
if ($env:CLOUDANIX_JIT_SHA256) {
  $expected = $env:CLOUDANIX_JIT_SHA256.ToLowerInvariant()
} elseif ($version -and $version -eq $pinnedVersion) {
  $line = $pinnedSums -split "`n" | Where-Object { $_.Trim() -like "*  $file" } | Select-Object -First 1
  if ($line) { $expected = ($line.Trim() -split ' ')[0] }
}

if ($env:CLOUDANIX_JIT_BINARY) {
  if (-not (Test-Path -PathType Leaf $env:CLOUDANIX_JIT_BINARY)) {
    Fail "CLOUDANIX_JIT_BINARY is ``$env:CLOUDANIX_JIT_BINARY``, which is not a program" 'expected the path of cloudanix-jit.exe'
  }
  # What is named is not what a release pins; a checksum beside it is for it.
  if ($env:CLOUDANIX_JIT_SHA256 -and (Get-Sum $env:CLOUDANIX_JIT_BINARY) -ne $expected) {
    Fail 'CLOUDANIX_JIT_BINARY has not the checksum in CLOUDANIX_JIT_SHA256' 'correct one of them, or unset the checksum'
  }
  Write-Output $env:CLOUDANIX_JIT_BINARY
  exit 0
}

# One on the PATH is only asked for its version when its checksum cannot say which it is.
foreach ($place in $env:PATH -split ';') {
  if ($place -notmatch '\A([A-Za-z]:\\|\\\\)') { continue }
  $found = Join-Path $place 'cloudanix-jit.exe'
  if (-not (Test-Path -PathType Leaf $found)) { continue }
  if ($expected) { $wanted = (Get-Sum $found) -eq $expected }
  else { $wanted = -not $version -or (Get-Version $found) -eq "cloudanix-jit $version" }
  if ($wanted) {
    Write-Output $found
    exit 0
  }
}
if (-not $version) {
  Fail 'cloudanix-jit is not on the PATH, and no version is named' 'name one in CLOUDANIX_JIT_VERSION with its CLOUDANIX_JIT_SHA256, or a program in CLOUDANIX_JIT_BINARY'
}
# It becomes part of an address and of a path.
if ($version -notmatch '\A[0-9A-Za-z.+-]+\z') { Fail "CLOUDANIX_JIT_VERSION is ``$version``" 'expected a version like 1.2.3' }

if (-not $expected) {
  Fail "no checksum is known for $file $version, and nothing unchecked is run" 'give it in CLOUDANIX_JIT_SHA256: it is in SHA256SUMS of the release'
}
$mirror = 'https://github.com/cloudanix/cloudanix-jit/releases/download'
if ($env:CLOUDANIX_JIT_MIRROR) { $mirror = $env:CLOUDANIX_JIT_MIRROR }
$address = "$mirror/v$version/$file"
$program = "$env:CLOUDANIX_JIT_FOLDER\cloudanix-jit.exe"
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
try {
  Invoke-WebRequest -UseBasicParsing -TimeoutSec 120 -Uri $address -OutFile $program
} catch {
  Fail "cannot download $address" 'is the mirror (CLOUDANIX_JIT_MIRROR) reachable from here?'
}
$sum = Get-Sum $program
if ($sum -ne $expected) {
  Remove-Item $program
  Fail "the download is not what was expected: sha256 $expected wanted, $sum found" "was $address changed, or the checksum given for another machine?"
}
Write-Output $program
