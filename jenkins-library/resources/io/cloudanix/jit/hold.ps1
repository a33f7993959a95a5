# As hold.sh, for Windows: hands the grant on as files, and ends when the block of steps has ended.
# What is in `given` must never be secret.
$ErrorActionPreference = 'Stop'
$folder = $env:CLOUDANIX_JIT_FOLDER
$run = (Get-CimInstance Win32_Process -Filter "ProcessId = $PID").ParentProcessId
$given = New-Object System.Collections.Generic.List[string]

function Give($name, $value) { $given.Add("$name=$value") }
function Write-Exactly($name, $text) { [IO.File]::WriteAllText("$folder\$name", $text) }

Write-Exactly 'end' ''
# A block that is observed has no grant, and its steps keep what an outer block has given them.
if ($env:CLOUDANIX_JIT_OBSERVE -ne 'true') { Give CLOUDANIX_GRANT_ID $env:CLOUDANIX_GRANT_ID }
if ($env:CLOUDANIX_GRANT_TOKEN) {
  Write-Exactly 'grant-token' $env:CLOUDANIX_GRANT_TOKEN
  Give CLOUDANIX_GRANT_TOKEN_FILE "$folder\grant-token"
}

$from = ''
if ($env:AWS_ACCESS_KEY_ID -and $env:AWS_ACCESS_KEY_ID -ne $env:CLOUDANIX_JIT_KEY_BEFORE) { $from = 'keys' }
if ($env:AWS_CONTAINER_CREDENTIALS_FULL_URI -and
  $env:AWS_CONTAINER_CREDENTIALS_FULL_URI -ne $env:CLOUDANIX_JIT_ENDPOINT_BEFORE) { $from = 'endpoint' }

if ($from) {
  # What an SDK would use in place of the session's keys; empty means unset.
  foreach ($name in 'AWS_ACCESS_KEY', 'AWS_ACCESS_KEY_ID', 'AWS_ACCOUNT_ID', 'AWS_CONTAINER_AUTHORIZATION_TOKEN',
    'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE', 'AWS_CONTAINER_CREDENTIALS_FULL_URI',
    'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', 'AWS_CREDENTIAL_EXPIRATION', 'AWS_CREDENTIAL_FILE',
    'AWS_DEFAULT_PROFILE', 'AWS_PROFILE', 'AWS_ROLE_ARN', 'AWS_ROLE_SESSION_NAME', 'AWS_SECRET_ACCESS_KEY',
    'AWS_SECRET_KEY', 'AWS_SECURITY_TOKEN', 'AWS_SESSION_EXPIRATION', 'AWS_SESSION_TOKEN',
    'AWS_WEB_IDENTITY_TOKEN_FILE') { Give $name '' }
  Give AWS_EC2_METADATA_DISABLED true
  if ($env:AWS_REGION) { Give AWS_REGION $env:AWS_REGION }
  if ($env:AWS_DEFAULT_REGION) { Give AWS_DEFAULT_REGION $env:AWS_DEFAULT_REGION }
}
if ($from -eq 'keys') {
  Write-Exactly 'aws-credentials' ("[default]`naws_access_key_id = $env:AWS_ACCESS_KEY_ID`n" +
    "aws_secret_access_key = $env:AWS_SECRET_ACCESS_KEY`naws_session_token = $env:AWS_SESSION_TOKEN`n")
  Give AWS_SHARED_CREDENTIALS_FILE "$folder\aws-credentials"
}
if ($from -eq 'endpoint') {
  Write-Exactly 'aws-endpoint-token' $env:AWS_CONTAINER_AUTHORIZATION_TOKEN
  Give AWS_CONTAINER_CREDENTIALS_FULL_URI $env:AWS_CONTAINER_CREDENTIALS_FULL_URI
  Give AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE "$folder\aws-endpoint-token"
  Give AWS_SHARED_CREDENTIALS_FILE $env:AWS_SHARED_CREDENTIALS_FILE
}
if ($env:AWS_CSM_CLIENT_ID -like 'elev-*' -or $env:AWS_CSM_CLIENT_ID -like 'observe-*') {
  foreach ($name in 'AWS_CSM_ENABLED', 'AWS_CSM_HOST', 'AWS_CSM_PORT', 'AWS_CSM_CLIENT_ID') {
    Give $name ([Environment]::GetEnvironmentVariable($name))
  }
}
[IO.File]::WriteAllLines("$folder\given.new", $given)
Move-Item "$folder\given.new" "$folder\given"

# A build that wipes the folder removes the way to end the grant with it, and a killed `run` ends no grant.
while ((Test-Path "$folder\end") -and (Get-Process -Id $run -ErrorAction SilentlyContinue)) { Start-Sleep -Milliseconds 200 }
exit 0
