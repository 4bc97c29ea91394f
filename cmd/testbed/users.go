package main

// User is an account that exists on every server.
type User struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Plugin   string `json:"plugin"` // the server's name for how it authenticates
}

// Users are the accounts. There is no anonymous one. One that a flavour has no
// plugin for has an empty name. The passwords are no secrets: the servers
// listen on loopback and are thrown away.
type Users struct {
	// App may do everything but write to a server that is read_only, so that
	// a statement sent to the wrong server fails as it would in production
	// (MySQL still lets it change that variable, as any other). It has the plugin that new accounts of its server have by default.
	App User `json:"app"`

	// Empty has App's plugin and no password; it owns the database only.
	Empty User `json:"empty"`

	// Ed25519 owns the database only.
	Ed25519 User `json:"ed25519"`

	Replication User `json:"replication"`

	// Root may do everything, but logs in over the sockets only.
	Root User `json:"root"`

	// The others may do what App may. These are named by their plugins.
	Native User `json:"native"`
	SHA2   User `json:"sha2"`
	SHA256 User `json:"sha256"`
	Parsec User `json:"parsec"`
	// Dialog is asked two questions: for its password, and whether it is sure,
	// which is answered by "yes, of course".
	Dialog User `json:"dialog"`

	// TLS has App's plugin, as have the following, and must use TLS.
	TLS User `json:"tls"`
	// Locked is not admitted.
	Locked User `json:"locked"`
	// Expired is admitted only to set a new password.
	Expired User `json:"expired"`
}

// account is how to make a user.
type account struct {
	user   User
	clause string // at the end of CREATE USER
	all    bool   // may do what App may; else owns the database
}

// accounts are the users to be made: all but root.
func (u Users) accounts() (list []account) {
	for _, a := range []account{
		{u.App, "", true},
		{u.Empty, "", false},
		{u.Replication, "", false},
		{u.Ed25519, "", false},
		{u.Native, "", true},
		{u.SHA2, "", true},
		{u.SHA256, "", true},
		{u.Parsec, "", true},
		{u.Dialog, "", true},
		{u.TLS, "REQUIRE SSL", true},
		{u.Locked, "ACCOUNT LOCK", true},
		{u.Expired, "PASSWORD EXPIRE", true},
	} {
		if a.user.Name != "" {
			list = append(list, a)
		}
	}
	return list
}
