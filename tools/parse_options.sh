# Sourced by a script below its option block; sets the declared variables from "$@".
#
# An option is a line `name=default  # what it is` above the line that sources this file: names are lower case, and two
# spaces come before the hash. The kind follows from the default: true or false a boolean, digits a whole number of 0 or
# more, anything else text, which may be empty only when the default is. "(1-64)" at the end of the words gives the
# smallest and the largest number.
# A script may say, above that line:
#   positional=true           other arguments are allowed and left in "$@"
#   option_files=(FILE ...)   scripts whose blocks are accepted too; what was given lands in the array extra_options
#   option_hidden=(NAME ...)  names of those blocks that the script fills itself
# Values are never evaluated. A mistake gets one line and exit status 2.
# shellcheck shell=bash

_options_script=${BASH_SOURCE[1]}
_options_line=${BASH_LINENO[0]}
_options_names=()            # in the order of --help
declare -A _options_default=() _options_comment=() _options_file=() _options_given=()
_options_rest=()
extra_options=()

_options_error() {
    local message="$*"
    printf '%s: error: %s\n' "${_options_script##*/}" "${message//$'\n'/ }" >&2
    exit 2
}

# Prints the option lines of FILE above line LAST (0: above the line that sources parse_options.sh).
_options_block() {
    local file=$1 last=$2 number=0 text
    while IFS= read -r text || [[ -n $text ]]; do
        number=$((number + 1))
        if ((last > 0 ? number >= last : 0)); then break; fi
        if ((last == 0)) && [[ $text =~ ^(\.|source)[[:space:]].*parse_options\.sh ]]; then break; fi
        if [[ $text =~ ^[a-z][a-z0-9_]*=.*\ \ \# ]]; then printf '%s\n' "$text"; fi
    done <"$file"
}

# Declares the options of FILE. The first to declare a name keeps it: the script comes before its option_files.
_options_declare() {
    local file=$1 last=$2 text name default
    while IFS= read -r text; do
        name=${text%%=*}
        if [[ -n ${_options_file[$name]+x} || " ${option_hidden[*]-} " == *" $name "* && $last == 0 ]]; then continue; fi
        default=${text#*=}
        default=${default%%  #*}
        default=${default%"${default##*[![:space:]]}"}
        if [[ $default =~ ^\"(.*)\"$ || $default =~ ^\'(.*)\'$ ]]; then default=${BASH_REMATCH[1]}; fi
        text=${text#*  \#}
        _options_names+=("$name")
        _options_file[$name]=$file
        _options_default[$name]=$default
        _options_comment[$name]=${text# }
    done < <(_options_block "$file" "$last")
}

# Prints the comment that a script begins with.
_options_header() {
    local text
    while IFS= read -r text; do
        case $text in
            '#!'* | '# shellcheck'*) ;;
            '#'*) text=${text#'#'} && printf '%s\n' "${text# }" ;;
            *) break ;;
        esac
    done <"$1"
}

# The values shown are the ones in force: what was given before --help counts, so a recipe shows its own.
_options_help() {
    local _name _file=$_options_script _value
    _options_header "$_options_script"
    printf '\nOptions (--name value):\n'
    for _name in "${_options_names[@]}"; do
        _value=${_options_default[$_name]}
        if [[ ${_options_file[$_name]} != "$_file" ]]; then
            _file=${_options_file[$_name]}
            printf '\nOptions of %s:\n' "${_file##*/}"
        fi
        if [[ $_file == "$_options_script" ]]; then _value=${!_name}; fi
        printf '  --%-14s %s%s\n' "$_name" "${_options_comment[$_name]}" "${_value:+ (default: $_value)}"
    done
    exit 0
}

# Sets `distance` to the edit distance of two words.
_options_distance() {
    local a=$1 b=$2 i j cost left
    local -a row=() above=()
    for ((j = 0; j <= ${#b}; j++)); do above[j]=$j; done
    for ((i = 1; i <= ${#a}; i++)); do
        row=("$i")
        for ((j = 1; j <= ${#b}; j++)); do
            cost=1
            if [[ ${a:i-1:1} == "${b:j-1:1}" ]]; then cost=0; fi
            left=$((row[j - 1] + 1))
            row[j]=$((above[j] + 1 < left ? above[j] + 1 : left))
            if ((above[j - 1] + cost < row[j])); then row[j]=$((above[j - 1] + cost)); fi
        done
        above=("${row[@]}")
    done
    distance=${above[${#b}]}
}

_options_unknown() {
    local given=${1#--} name near='' best=3 distance
    given=${given//-/_}
    for name in "${_options_names[@]}"; do
        if ((${#given} > 40)); then break; fi
        _options_distance "$given" "$name"
        if ((distance < best)); then near=$name best=$distance; fi
    done
    _options_error "unknown option $1${near:+ (did you mean --$near?)}; --help lists them"
}

# Sets `_option` to the declared option that an argument is, or to nothing. Locals around a variable that is set or read
# by its name begin with _: no option does, so none is hidden.
_options_name() {
    _option=''
    if [[ $1 =~ ^--[a-z][a-z0-9_-]*$ ]]; then
        _option=${1#--}
        _option=${_option//-/_}
        if [[ -z ${_options_file[$_option]+x} ]]; then _option=''; fi
    fi
}

# Ends the script unless VALUE is a number that OPTION may have.
_options_number() {
    local _low=0 _high=999999999 _wanted="0 or more"
    if [[ ${_options_comment[$1]} =~ \(([0-9]+)-([0-9]+)\)$ ]]; then
        _low=${BASH_REMATCH[1]} _high=${BASH_REMATCH[2]} _wanted="${BASH_REMATCH[1]} to ${BASH_REMATCH[2]}"
    fi
    if ! [[ $2 =~ ^[0-9]{1,10}$ ]] || ((10#$2 < _low || 10#$2 > _high)); then
        _options_error "--$1 must be a whole number, $_wanted, not '${2:0:60}'"
    fi
}

_options_set() {
    local _option=$1 _value=$2 _default=${_options_default[$1]}
    if [[ $_default == true || $_default == false ]]; then
        if [[ $_value != true && $_value != false ]]; then
            _options_error "--$_option must be true or false, not '$_value'"
        fi
    elif [[ $_default =~ ^[0-9]+$ ]] || [[ -n $_value && ${_options_comment[$_option]} =~ \([0-9]+-[0-9]+\)$ ]]; then
        _options_number "$_option" "$_value"
        _value=$((10#$_value))
    elif [[ -z $_value && -n $_default ]]; then
        _options_error "--$_option must not be empty"
    fi
    if [[ ${_options_file[$_option]} == "$_options_script" ]]; then
        printf -v "$_option" '%s' "$_value"
    else
        _options_given[$_option]=$_value
    fi
}

_options_parse() {
    local _option _name
    while (($#)); do
        case $1 in
            -h | --help) _options_help ;;
            --) _options_error "empty option --" ;;
            --*=*) _options_error "write ${1%%=*} VALUE, not ${1%%=*}=VALUE" ;;
            -?*)
                _options_name "$1"
                if [[ -z $_option ]]; then _options_unknown "$1"; fi
                if (($# == 1)); then _options_error "$1 needs a value"; fi
                _name=$_option
                _options_name "$2"
                if [[ -n $_option || $2 == --help || $2 == -h ]]; then _options_error "$1 needs a value before $2"; fi
                _options_set "$_name" "$2"
                shift
                ;;
            *) _options_rest+=("$1") ;;
        esac
        shift
    done
}

if ! [[ -r $_options_script ]]; then _options_error "$_options_script cannot be read: do not change folder before the options"; fi
_options_declare "$_options_script" "$_options_line"
# The environment may hold variables of these names, but no arrays; and the text says whether the script sets the other.
# shellcheck disable=SC2154  # an array of the script, or nothing
if [[ $(declare -p option_files 2>/dev/null) == 'declare -a'* ]]; then
    for _options_next in "${option_files[@]}"; do _options_declare "$_options_next" 0; done
fi
_options_parse "$@"
if ((${#_options_rest[@]})) && ! grep -q '^positional=true' <(head -n "$_options_line" "$_options_script"); then
    _options_error "unexpected argument '${_options_rest[0]}': options are --name value"
fi
set -- "${_options_rest[@]}"
for _options_next in "${_options_names[@]}"; do
    if [[ -n ${_options_given[$_options_next]+x} ]]; then
        extra_options+=("--$_options_next" "${_options_given[$_options_next]}")
    fi
done
